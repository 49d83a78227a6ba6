"""Near copies among samples, and the number of different samples that they imply (Arora and Zhang 2017).

Near is nearer than real images ever are: the threshold is the 0.1 % quantile of the distances from real training images
to their nearest neighbours in a set of the same size, in an extractor's features and in pixels. Held-out images say
whether that holds: they must have no more near copies among themselves, nor among the training images.

Blurred samples look like copies and noise hides copies, so the same rate of blurred and noised real images stands
beside it, and there is no verdict where samples are not as sharp as real images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from saddlepoint.metrics import support
from saddlepoint.metrics.base import PIXELS_SIDE, Figure, Metric, Sample, permutation
from saddlepoint.metrics.collisions import near_copies, near_pairs
from saddlepoint.metrics.neighbours import closest_pairs, nearest_neighbours
from saddlepoint.metrics.sharpness import CONTRAST_LIMIT, LIMIT, mismatch
from saddlepoint.metrics.support import Support

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

QUANTILE = 0.001
LOOSE_QUANTILE = 0.01
"""A second threshold to compare with; and the threshold inside classes, which have a tenth of the images or fewer."""
PAIRS = 20
"""Arora and Zhang look at the 20 closest pairs."""
NEIGHBOURS = PAIRS // 2
"""Kept a row. A pair that neither row lists has 2 · NEIGHBOURS closer ones, so the 20 closest pairs are all listed."""
SMALLEST_CLASS = 30
"""Images of a class below which nothing is said about it."""
REAL = {
    "support": "real_rate",
    "held_out": "held_out_rate",
    "blurred": "blurred_rate",
    "noised": "noised_rate",
    "loose_support": "real_loose_rate",
}
"""What is kept of real images, and how a card calls its collision rate."""
PIXELS = ("pixels", "1", f"mean-to-{PIXELS_SIDE}")


class Duplicates(Metric):
    """``duplicates``, ``support`` and ``class_support``, each in features and in pixels, and ``sharpness_gap``.

    - ``duplicates_<space>``: the share of samples with a near copy.
    - ``support_<space>``: the effective support, 1 / P(two samples are near copies), with its 95 % interval.
    - ``class_support_<space>``: the same inside the class that repeats itself most, where labels can be predicted.
    - ``sharpness_gap``: the distance in log-sharpness from real images. Above 0.2, or where log-contrast differs by
      more than 0.3, the others give no verdict.
    """

    name = "duplicates"
    lower_is_better = True
    also: ClassVar = {"support": False, "class_support": False, "sharpness_gap": True}
    needs = frozenset({"pool", "pixels", "logits", "sharpness", "controls"})
    bound_to_n = True

    def applies_to(self, extractor: FeatureExtractor) -> bool:
        """Any extractor will do; one without logits tells no classes."""
        return True

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep thresholds, and what real images themselves give at these."""
        assert real.sharpness is not None
        kept = {"sharpness": real.sharpness.double().median(0).values}
        classes = None if real.logits is None else real.logits.argmax(1)
        for space in ("features", "pixels"):
            rows = in_space(real, space)
            nearest = nearest_neighbours(rows, 1)[0][:, 0]
            strict, loose = nearest.quantile(QUANTILE), nearest.quantile(LOOSE_QUANTILE)
            found = support.estimate(degrees(rows, nearest, float(strict)))
            own = {
                "loose": loose,
                "support": found.tensor(),
                "loose_support": support.estimate(degrees(rows, nearest, float(loose))).tensor(),
                "first": self._first(rows, nearest, float(strict), found),
            }
            for name, control in real.controls.items():
                own[name] = support.estimate(near_copies(in_space(control, space), float(strict))).tensor()
            if (held_out := real.controls.get("held_out")) is not None:
                across = nearest_neighbours(in_space(held_out, space), 1, among=rows)[0][:, 0]
                own["across"] = (across <= strict).double().mean()
            if classes is not None:
                own["classes"] = class_references(rows, classes, real.logits.shape[1])  # type: ignore[union-attr]
            kept |= {space: strict, **{f"{space}.{name}": tensor for name, tensor in own.items()}}
        return kept

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the figures; the closest pairs, curves and classes are details for pictures."""
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
        share = float((nearest <= strict).double().mean())
        interval = (found.at_least, found.at_most) if found.pairs else None
        # The extractor may have learnt the training images: the verdict grants samples what held-out images have, too.
        note = support.verdict(found, max(real["support"], real.get("held_out", real["support"]), key=high), unlike)
        return [
            Figure(f"duplicates_{label}", share, n, features=features, details=details),
            Figure(f"support_{label}", found.size, n, None, interval, features, beside=beside, note=note),
        ]

    def _first(self, rows: Tensor, nearest: Tensor, radius: float, found: Support) -> Tensor:
        """Return :func:`~saddlepoint.metrics.support.first_collisions`, on a part of the rows where pairs abound."""
        n = len(rows)
        size = n if found.pairs <= support.CURVE_PAIRS else int(n * (support.CURVE_PAIRS / found.pairs) ** 0.5) + 1
        chosen = permutation(n, self.seed, "rows of the curve")[:size]
        chosen = chosen[nearest[chosen] <= radius]
        pairs = near_pairs(rows[chosen], radius) if len(chosen) else torch.empty(0, 2, dtype=torch.long)
        return support.first_collisions(pairs, size, self.seed)


def high(found: Support) -> float:
    """Return the upper end of the collision rate's interval."""
    return found.high


def in_space(sample: Sample, space: str) -> Tensor:
    """Return a sample's rows in "features" or "pixels", [N, D]."""
    rows = sample.pool if space == "features" else sample.pixels
    assert rows is not None
    return rows


def of_space(reference: Mapping[str, Tensor], space: str) -> dict[str, Tensor]:
    """Return what the reference says of one space, by short names."""
    own = {key.removeprefix(f"{space}."): tensor for key, tensor in reference.items() if key.startswith(f"{space}.")}
    return {"threshold": reference[space], **own}


def degrees(rows: Tensor, nearest: Tensor, radius: float, device: torch.device | str = "cpu") -> Tensor:
    """Count each row's near copies among the others, long [N], looking only at rows that have one.

    Args:
        rows: [N, D].
        nearest: float64 [N], distances to their nearest neighbours.
        radius: how far a near copy may be.
        device: where the products run.
    """
    counts = torch.zeros(len(rows), dtype=torch.long)
    some = (nearest <= radius).nonzero().flatten()
    if len(some):
        counts[some] = near_copies(rows[some], radius, device=device)
    return counts


def class_references(rows: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Return float64 [K, 6]: each class's threshold and :class:`Support`; NaN where it has too few images.

    Args:
        rows: real, [N, D].
        classes: long [N], predicted as those of samples will be.
        num_classes: K.
    """
    found = torch.full((num_classes, 6), torch.nan, dtype=torch.float64)
    for index in range(num_classes):
        own = rows[classes == index]
        if len(own) >= SMALLEST_CLASS:
            nearest = nearest_neighbours(own, 1)[0][:, 0]
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
    """Return the support inside the class that repeats itself most surely; nothing where no class is large enough.

    Args:
        label: the space's name.
        rows: samples, [N, D].
        classes: long [N], predicted.
        references: of :func:`class_references`.
        unlike: why near copies do not mean the same in samples and real images, if so.
        features: for the figure.
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
    if len(collapsed) > 1:
        note += f"; also collapsed: classes {', '.join(index for index in collapsed if index != str(worst))}"
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
