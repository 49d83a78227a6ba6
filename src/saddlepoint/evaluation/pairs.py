"""Judges of pairs of images: the output of a system and the true image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import HeldOutJudge, Settings
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.capabilities import Encodes, Translates
from saddlepoint.systems.game import Game

MEAN_OF = 10_000
"""Number of training targets that the mean target is computed from."""
SMALLEST_FOR_MS_SSIM = 161
"""Minimum of the shorter side in pixels: the window of 11 is applied to the image halved four times."""
SMALLEST_FOR_LPIPS = 31
"""Minimum of the shorter side in pixels for AlexNet."""
LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"
"""File name of torchvision's AlexNet, which torchmetrics' LPIPS searches for in torch.hub's folder."""

PIXELS = {"features": "pixels", "features_version": "1"}

Figure = Callable[[Tensor, Tensor], Tensor]


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean absolute difference of each pair of images in [0, 1], [N]."""
    return (x - y).abs().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each pair of images in [0, 1], [N], in dB; at most 100."""
    found = peak_signal_noise_ratio(x, y, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return found.clamp(max=100.0)  # infinite for equal images


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the structural similarity of each pair of images in [0, 1], [N].

    Wang et al. 2004, with a Gaussian window and reflected borders.
    """
    found = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    assert isinstance(found, Tensor)
    return found.reshape(len(x))


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of each pair of images in [0, 1], [N] (Wang et al. 2003)."""
    return multiscale_structural_similarity_index_measure(x, y, data_range=1.0, reduction="none").reshape(len(x))


@cache
def lpips_on(device: torch.device) -> LearnedPerceptualImagePatchSimilarity:
    """Return LPIPS of images in [0, 1] on a device; AlexNet is built once, by weights in torch.hub's folder."""
    return LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)


def lpips(x: Tensor, y: Tensor) -> Tensor:
    """Return the LPIPS of each pair of images in [0, 1], [N] (Zhang et al. 2018, arXiv:1801.03924; AlexNet)."""
    x, y = (image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image for image in (x, y))
    distance = lpips_on(x.device)
    found = torch.stack([distance(*pair) for pair in zip(x.split(1), y.split(1), strict=True)])
    distance.reset()  # it keeps all values
    return found


FIGURES: Mapping[str, Figure] = {"l1": l1, "psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim, "lpips": lpips}


def has_lpips_weights() -> bool:
    """Return whether LPIPS can be computed without a download."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_WEIGHTS).exists()


def figures_for(shape: Sequence[int], metrics: Sequence[str] | None) -> list[str]:
    """Return the names of the figures to compute for pairs of images.

    Args:
        shape: of the images, (C, H, W).
        metrics: the requested names; None for all that are available.

    Raises:
        UserError: a requested figure is not available.
    """
    small = min(shape[1:]) < SMALLEST_FOR_MS_SSIM
    for_lpips = min(shape[1:]) >= SMALLEST_FOR_LPIPS and shape[0] in (1, 3)
    for name in metrics or ():
        if name == "ms_ssim" and small:
            raise UserError(
                f"ms_ssim needs images of {SMALLEST_FOR_MS_SSIM} px or more, but these are {shape[1]}x{shape[2]}",
                "metrics",
                "use ssim",
            )
        if name == "lpips" and not for_lpips:
            problem = f"lpips needs gray or RGB images of {SMALLEST_FOR_LPIPS} px or more"
            raise UserError(problem, "metrics", "use ssim")
        if name == "lpips" and not has_lpips_weights():
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise UserError("lpips needs torchvision's AlexNet", "metrics", f"put {LPIPS_WEIGHTS} into {folder}")
    wanted = list(FIGURES) if metrics is None else [name for name in FIGURES if name in metrics]
    missing = {"ms_ssim"} if small else set()
    if not for_lpips or not has_lpips_weights():
        missing.add("lpips")
    return [name for name in wanted if name not in missing]


class PairJudge(HeldOutJudge):
    """Scores pairs of images, which are quantised to 8 bits and scaled to [0, 1].

    Args:
        data: the data set whose held-out split is used.
        settings: of the evaluation.
        name: template for the names of scores, such as ``{}_a_to_b``.
        figures: names of the figures.
    """

    def __init__(self, data: DataModule, settings: Settings, name: str, figures: Sequence[str]) -> None:
        super().__init__(data, settings)
        self.name, self.figures = name, list(figures)
        self.names = [name.format(figure) for figure in figures]

    def pairs(self, system: Game) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the system's input, its output and the true image, float [N, C, H, W] in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must implement pairs()")

    def score(self, system: Game) -> list[ScoreCard]:
        """Return one card per figure: its mean over the pairs, ± one standard error, and those of the baselines."""
        begin = time.perf_counter()
        found: dict[str, list[Tensor]] = {name: [] for name in self.figures}
        beside: dict[str, list[Tensor]] = {}
        for given, made, truth in self.pairs(system):
            y = in_unit(truth)
            for name in self.figures:
                found[name].append(FIGURES[name](in_unit(made), y).cpu())
                for baseline, image in self.baselines(given, truth).items():
                    beside.setdefault(f"{name}/{baseline}", []).append(FIGURES[name](in_unit(image), y).cpu())
        seconds, cards = time.perf_counter() - begin, []
        for name, parts in found.items():
            others = {
                key.removeprefix(f"{name}/"): float(torch.cat(own).double().mean())
                for key, own in beside.items()
                if key.startswith(f"{name}/")
            }
            cards.append(self.card(system, self.name.format(name), torch.cat(parts), seconds, beside=others, **PIXELS))
        return cards

    def baselines(self, given: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return images to compare with the true ones instead of the system's output, by name; none by default."""
        return {}


class TranslationJudge(PairJudge):
    """Scores translations of held-out images against their true counterparts.

    The cards also state the figures of two baselines: the ``input`` itself, if it has the shape of the target, and the
    ``mean_target`` of the training images.

    Args:
        data: a data set with aligned columns in its held-out split.
        settings: of the evaluation.
        direction: of the translation.
        columns: names of the source and target columns.
        suffix: of the scores' names.
        figures: names of the figures.
    """

    def __init__(
        self,
        data: DataModule,
        settings: Settings,
        direction: str,
        columns: tuple[str, str],
        suffix: str,
        figures: Sequence[str],
    ) -> None:
        super().__init__(data, settings, f"{{}}{suffix}", figures)
        self.direction, self.columns = direction, columns
        self.names = [*self.names, *figures]  # without the suffix: in all directions
        self.monitor = self.name.format(self.figures[0]) if self.figures else None
        self.mean: Tensor | None = None

    def pairs(self, system: Game) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """See :meth:`PairJudge.pairs`."""
        assert isinstance(system, Translates)
        source, target = self.columns
        start = 0
        for batch in self.batches():
            given, truth = (getattr(batch, column).to(system.device) for column in (source, target))
            yield given, system.translate(given, self.direction, self.settings.seed, self.settings.ema, start), truth
            start += len(given)

    def baselines(self, given: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the input and the mean target."""
        if self.mean is None:
            self.mean = self._mean_target().to(truth.device)
        found = {"mean_target": self.mean.expand_as(truth)}
        return {"input": given, **found} if given.shape == truth.shape else found

    def _mean_target(self) -> Tensor:
        total, n = torch.zeros(()), 0
        for images, _ in self.data.uint8_batches("train", column=self.columns[1]):
            total, n = total + images.double().sum(0), n + len(images)
            if n >= MEAN_OF:
                break
        return (total / n / 127.5 - 1).float()


class ReconstructionJudge(PairJudge):
    """Scores reconstructions of held-out images, in pixels and in an extractor's features.

    ``reconstruction_features`` is the mean Euclidean distance between the features of an image and those of its
    reconstruction; the card's ``shuffled`` is the mean distance from the reconstruction of another image.

    Args:
        data: the data set whose held-out split is used.
        settings: of the evaluation.
        figures: names of the figures of pixels.
        extractor: prepared; None to omit ``reconstruction_features``.
    """

    def __init__(
        self, data: DataModule, settings: Settings, figures: Sequence[str], extractor: FeatureExtractor | None
    ) -> None:
        super().__init__(data, settings, "reconstruction_{}", figures)
        self.extractor = extractor
        if extractor is not None:
            self.names = [*self.names, self.name.format("features")]

    def pairs(self, system: Game) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """See :meth:`PairJudge.pairs`."""
        assert isinstance(system, Encodes)
        for batch in self.batches():
            real = batch.samples.to(system.device)
            yield real, system.decode(system.encode(real, self.settings.ema), self.settings.ema), real

    def baselines(self, given: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return another image of the batch, if there is one, as a baseline for the reconstruction."""
        return {"another_image": truth.roll(1, 0)} if len(truth) > 1 else {}

    def score(self, system: Game) -> list[ScoreCard]:
        """Return one card per figure."""
        cards = super().score(system)
        if self.extractor is None:
            return cards
        begin = time.perf_counter()
        extractor = self.extractor.to(system.device)
        own, shuffled = [], []
        for real, made, _ in self.pairs(system):
            x, y = (extractor(quantise(images)).pool.double().cpu() for images in (real, made))
            own.append(torch.linalg.vector_norm(x - y, dim=1))
            if len(x) > 1:
                shuffled.append(torch.linalg.vector_norm(x - y.roll(1, 0), dim=1))
        seconds, beside = time.perf_counter() - begin, {}
        if shuffled:
            beside["shuffled"] = float(torch.cat(shuffled).mean())
        about = {"features": extractor.name, "features_version": extractor.version, "resize": extractor.resize}
        name, beside = self.name.format("features"), {**beside, **extractor.beside}
        return [*cards, self.card(system, name, torch.cat(own), seconds, beside=beside, **about)]


def in_unit(images: Tensor) -> Tensor:
    """Return images in [-1, 1] quantised to 8 bits and scaled to [0, 1]."""
    return quantise(images).float() / 255
