"""Near copies among samples, and the number of different samples that they imply (Arora and Zhang 2017).

Two images are near copies if they are closer than real images usually are: the threshold is the 0.1 % quantile of the
distances from real training images to their nearest neighbours in a set of the same size, in an extractor's features
and in pixels. Held-out images validate it: they should have no more near copies, neither among themselves nor among the
training images.

Blurred samples look like copies, and noise hides copies. So the collision rates of blurred and noised real images are
reported as baselines, and there is no verdict where the samples' sharpness differs from that of real images.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics import support
from saddlepoint.metrics.base import PIXELS_SIDE, Figure, Metric, Sample
from saddlepoint.metrics.collisions import near_copies, near_pairs
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.neighbours import closest_pairs, nearest_neighbours
from saddlepoint.metrics.rows import permutation
from saddlepoint.metrics.sharpness import CONTRAST_LIMIT, LIMIT, mismatch
from saddlepoint.metrics.support import Support

QUANTILE = 0.001
"""The threshold, as a quantile of the distances between real nearest neighbours."""
LOOSE_QUANTILE = 0.01
"""A second, larger threshold for comparison; also the one within classes, which have a tenth of the images or fewer."""
PAIRS = 20
"""Number of closest pairs shown, as in Arora and Zhang."""
NEIGHBOURS = PAIRS // 2
"""Neighbours kept per row. If neither row of a pair has the other among its own, there are 2 · NEIGHBOURS closer pairs,
so all of the 20 closest pairs are found."""
SMALLEST_CLASS = 30
"""Number of images that a class needs to get a figure."""
REAL = {
    "support": "real_rate",
    "held_out": "held_out_rate",
    "blurred": "blurred_rate",
    "noised": "noised_rate",
    "loose_support": "real_loose_rate",
}
"""The supports kept of real images, and the names of their collision rates on cards."""
PIXELS = ("pixels", "1", f"mean-to-{PIXELS_SIDE}")


class Duplicates(Metric):
    """``duplicates``, ``support`` and ``class_support``, each in features and in pixels, and ``sharpness_gap``.

    - ``duplicates_<space>``: the fraction of samples with a near copy.
    - ``support_<space>``: the effective support, 1 / P(two samples are near copies), with its 95 % interval.
    - ``class_support_<space>``: the same within the class with the most near copies, where labels can be predicted.
    - ``sharpness_gap``: the difference in log-sharpness from real images. If it is above 0.2, or if log-contrast
      differs by more than 0.3, the others give no verdict.
    """

    name = "duplicates"
    also = ("support", "class_support", "sharpness_gap")
    needs = frozenset({"pool", "pixels", "logits", "sharpness", "baselines"})
    bound_to_n = True

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Return True; an extractor without logits only lacks the figures by class."""
        return True

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the thresholds, and the figures of real images at these."""
        assert real.sharpness is not None
        kept = {"sharpness": real.sharpness.double().median(0).values}
        classes = None if real.logits is None else real.logits.argmax(1)
        for space in ("features", "pixels"):
            rows = in_space(real, space)
            nearest = nearest_distances(rows)
            strict, loose = threshold(nearest), nearest.quantile(LOOSE_QUANTILE)
            found = support.estimate(degrees(rows, nearest, float(strict)))
            own = {
                "loose": loose,
                "support": found.tensor(),
                "loose_support": support.estimate(degrees(rows, nearest, float(loose))).tensor(),
                "first": self._first(rows, nearest, float(strict), found),
            }
            for name, baseline in real.baselines.items():
                own[name] = support.estimate(near_copies(in_space(baseline, space), float(strict))).tensor()
            if (held_out := real.baselines.get("held_out")) is not None:
                across = nearest_neighbours(in_space(held_out, space), 1, among=rows)[0][:, 0]
                own["across"] = torch.tensor(duplicate_rate(across, float(strict)), dtype=torch.float64)
            if classes is not None:
                own["classes"] = class_references(rows, classes, real.logits.shape[1])  # type: ignore[union-attr]
            kept |= {space: strict, **{f"{space}.{name}": tensor for name, tensor in own.items()}}
        return kept

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the figures; the closest pairs, curves and classes are details for plots."""
        assert sample.sharpness is not None
        sharpness, contrast = (sample.sharpness.double().median(0).values - reference["sharpness"]).tolist()
        unlike = mismatch(sharpness, contrast)
        spaces = ((extractor.name, "features", None), ("pixels", "pixels", PIXELS))
        figures = []
        for label, space, features in spaces:
            rows, own = in_space(sample, space), of_space(reference, space)
            figures += self._overall(label, rows, own, unlike, features, extractor.device)
            if extractor.predicts_labels and sample.logits is not None:
                figures += by_class(label, rows, sample.logits.argmax(1), own["classes"], unlike, features)
        beside = {"signed": sharpness, "limit": LIMIT, "contrast": contrast, "contrast_limit": CONTRAST_LIMIT}
        full = ("pixels", "1", "none")
        gap = Figure("sharpness_gap", abs(sharpness), len(rows), features=full, beside=beside, note=unlike)
        return [*figures, gap]

    def _overall(
        self,
        label: str,
        rows: Tensor,
        own: Mapping[str, Tensor],
        unlike: str | None,
        features: tuple[str, str, str] | None,
        device: torch.device,
    ) -> list[Figure]:
        strict, n = float(own["threshold"]), len(rows)
        distances, indices = nearest_neighbours(rows, NEIGHBOURS, device=device)
        nearest = distances[:, 0]
        found = support.estimate(degrees(rows, nearest, strict, device))
        loose = support.estimate(degrees(rows, nearest, float(own["loose"]), device))
        first = self._first(rows, nearest, strict, found)
        pairs, lengths = closest_pairs(distances, indices, PAIRS, rows, device)
        details = {
            "pairs": pairs, "distances": lengths, "threshold": own["threshold"], "first": first,
            "real_first": own["first"], "support": found.tensor(), "real_support": own["support"],
        }  # fmt: skip
        real = {name: Support.from_tensor(own[name]) for name in REAL if name in own}
        beside = {
            "pairs": float(found.pairs), "rate": found.rate, "rate_low": found.low, "rate_high": found.high,
            "at_least": found.at_least, "loose_rate": loose.rate, "excess_rate": found.rate - real["support"].rate,
            **{REAL[name]: one.rate for name, one in real.items()}, "threshold": strict,
        }  # fmt: skip
        if "across" in own:
            beside["held_out_near_train"] = float(own["across"])
        if found.pairs >= support.ENOUGH_PAIRS and (half := support.half_size(first)) <= n:
            beside |= {"half": half, "half_support": support.implied_support(half)}
        rate = duplicate_rate(nearest, strict)
        interval = (found.at_least, found.at_most) if found.pairs else None
        # The extractor may have memorised the training images, so samples may have as many copies as held-out images.
        note = support.verdict(found, max(real["support"], real.get("held_out", real["support"]), key=high), unlike)
        return [
            Figure(f"duplicates_{label}", rate, n, features=features, details=details),
            Figure(f"support_{label}", found.size, n, None, interval, features, beside=beside, note=note),
        ]

    def _first(self, rows: Tensor, nearest: Tensor, radius: float, found: Support) -> Tensor:
        """Return :func:`~saddlepoint.metrics.support.first_collisions`, of a subset if there are many near pairs."""
        n = len(rows)
        size = n if found.pairs <= support.CURVE_PAIRS else int(n * (support.CURVE_PAIRS / found.pairs) ** 0.5) + 1
        chosen = permutation(n, self.seed, "rows of the curve")[:size]
        chosen = chosen[nearest[chosen] <= radius]
        pairs = near_pairs(rows[chosen], radius) if len(chosen) else torch.empty(0, 2, dtype=torch.long)
        return support.first_collisions(pairs, size, self.seed)


def nearest_distances(rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Return each row's distance to its nearest neighbour among the other rows [N, D], float64 [N]."""
    return nearest_neighbours(rows, 1, device=device)[0][:, 0]


def threshold(nearest: Tensor) -> Tensor:
    """Return the distance up to which two samples are near copies, given :func:`nearest_distances` of real images."""
    return nearest.quantile(QUANTILE)


def duplicate_rate(nearest: Tensor, radius: float) -> float:
    """Return the fraction of samples with a near copy, given their distances to the nearest sample, float64 [N]."""
    return float((nearest <= radius).double().mean())


def high(found: Support) -> float:
    """Return the upper end of the collision rate's interval."""
    return found.high


def in_space(sample: Sample, space: str) -> Tensor:
    """Return a sample's rows in "features" or "pixels", [N, D]."""
    rows = sample.pool if space == "features" else sample.pixels
    assert rows is not None
    return rows


def of_space(reference: Mapping[str, Tensor], space: str) -> dict[str, Tensor]:
    """Return the reference's entries for one space, without the prefix."""
    own = {key.removeprefix(f"{space}."): tensor for key, tensor in reference.items() if key.startswith(f"{space}.")}
    return {"threshold": reference[space], **own}


def degrees(rows: Tensor, nearest: Tensor, radius: float, device: torch.device | str = "cpu") -> Tensor:
    """Return each row's number of near copies among the others, long [N], comparing only rows that have one.

    Args:
        rows: [N, D].
        nearest: float64 [N], of :func:`nearest_distances`.
        radius: the distance up to which rows are near copies.
        device: where the products are computed.
    """
    counts = torch.zeros(len(rows), dtype=torch.long)
    some = (nearest <= radius).nonzero().flatten()
    if len(some):
        counts[some] = near_copies(rows[some], radius, device=device)
    return counts


def class_references(rows: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Return each class's threshold and :class:`Support`, float64 [K, 6]; NaN for classes with too few images.

    Args:
        rows: real, [N, D].
        classes: long [N], predicted by the classifier that is used for samples too.
        num_classes: K.
    """
    found = torch.full((num_classes, 6), torch.nan, dtype=torch.float64)
    for index in range(num_classes):
        own = rows[classes == index]
        if len(own) >= SMALLEST_CLASS:
            nearest = nearest_distances(own)
            radius = nearest.quantile(LOOSE_QUANTILE)
            found[index, 0] = radius
            found[index, 1:] = support.estimate(degrees(own, nearest, float(radius))).tensor()
    return found


def by_class(
    label: str,
    rows: Tensor,
    classes: Tensor,
    references: Tensor,
    unlike: str | None,
    features: tuple[str, str, str] | None,
) -> list[Figure]:
    """Return the support within the class whose collision rate has the highest lower bound, if any is large enough.

    Args:
        label: the space's name.
        rows: samples, [N, D].
        classes: long [N], predicted.
        references: from :func:`class_references`.
        unlike: why the near copies of samples and of real images are not comparable, if so.
        features: of the figure.
    """
    found, real = {}, {}
    for index, row in enumerate(references):
        own = rows[classes == index]
        if len(own) >= SMALLEST_CLASS and not row.isnan().any():
            found[index] = support.estimate(near_copies(own, float(row[0])))
            real[index] = Support.from_tensor(row[1:])
    if not found:
        return []
    worst = max(found, key=lambda index: (found[index].low, found[index].rate))
    verdicts = {index: support.verdict(found[index], real[index], unlike) for index in found}
    collapsed = [str(index) for index in found if verdicts[index].startswith("collapsed")]
    note = f"class {worst}: {verdicts[worst]}"
    if others := [index for index in collapsed if index != str(worst)]:
        note += f"; also collapsed: classes {', '.join(others)}"
    interval = (found[worst].at_least, found[worst].at_most) if found[worst].pairs else None
    beside = {f"class_{index}": one.size for index, one in found.items()}
    details = {
        "classes": torch.tensor(list(found)),
        "support": torch.stack([one.tensor() for one in found.values()]),
        "real_support": torch.stack([one.tensor() for one in real.values()]),
    }
    return [
        Figure(
            f"class_support_{label}", found[worst].size, found[worst].n, None, interval, features, details, beside, note
        )
    ]
