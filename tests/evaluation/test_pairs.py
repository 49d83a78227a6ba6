from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy.ndimage import correlate1d
from torch import Tensor
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as similarity

from saddlepoint.data import DataModule, Digits, PairedFolder
from saddlepoint.errors import UserError
from saddlepoint.evaluation import pairs
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.pairs import ReconstructionJudge, TranslationJudge, figures_for
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.progress import Progress


class Darker:
    """A system that halves what it sees."""

    device, averages, averaged, networks = torch.device("cpu"), {}, (), {}
    directions = {"inputs_to_targets": ("inputs", "targets")}  # noqa: RUF012
    progress = Progress(images_seen=5)

    def translate(
        self, images: Tensor, direction: str | None = None, seed: int = 0, ema: bool = True, start: int = 0
    ) -> Tensor:
        assert direction == "inputs_to_targets"
        return images / 2

    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        return samples.flatten(1) / 2

    def decode(self, codes: Tensor, ema: bool = True) -> Tensor:
        return codes.view(-1, 1, 8, 8)


def images(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_distances_in_closed_form() -> None:
    x = images(0, 3, 1, 4, 4)
    torch.testing.assert_close(pairs.l1(x, x + 0.25), torch.full((3,), 0.25))
    torch.testing.assert_close(pairs.psnr(x, x + 0.1), torch.full((3,), 20.0), rtol=1e-4, atol=0)  # -10 log10(0.01)
    assert pairs.psnr(x, x).tolist() == [100.0] * 3
    torch.testing.assert_close(pairs.ssim(images(1, 2, 1, 16, 16), images(1, 2, 1, 16, 16)), torch.ones(2))


def test_ssim_against_scipy() -> None:
    """Wang et al. 2004, equation 13, with a Gaussian window of 11 and σ 1.5, borders reflected."""
    x, y = images(0, 1, 1, 24, 20).double(), images(1, 1, 1, 24, 20).double()
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window /= window.sum()

    def mean(image: Any) -> Any:
        return correlate1d(correlate1d(image, window, 0, mode="mirror"), window, 1, mode="mirror")

    a, b = x[0, 0].numpy(), y[0, 0].numpy()
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    expected = ((2 * mu_a * mu_b + c1) * (2 * cov + c2)) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    assert pairs.ssim(x, y).item() == pytest.approx(expected.mean(), abs=1e-6)


@pytest.fixture
def paired(tmp_path: Path) -> DataModule:
    """Six training and four held-out pairs, side by side."""
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        (tmp_path / split).mkdir()
        for i in range(count):
            pixels = random.integers(0, 256, (12, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / f"{i}.png")
    return DataModule(PairedFolder(str(tmp_path), layout="side_by_side", direction="a_to_b"), image_size=12)


def test_translations_beside_what_needs_no_system(paired: DataModule) -> None:
    judge = TranslationJudge(paired, Settings(), "inputs_to_targets", ("inputs", "targets"), "", ["l1", "psnr"])
    cards = {card.metric: card for card in judge.score(Darker())}  # type: ignore[arg-type]
    assert judge.monitor == "l1"
    held_out = paired.batch("held_out", 0, 4)
    x, y = (quantise(one).double() / 255 for one in (held_out.inputs, held_out.targets))
    made = quantise(held_out.inputs / 2).double() / 255
    mean = quantise(paired.batch("train", 0, 6).targets.double().mean(0)).double() / 255
    each = (made - y).abs().mean((1, 2, 3))
    assert cards["l1"].value == pytest.approx(each.mean().item(), abs=1e-6)
    error = each.std(correction=0).item() / 2
    assert cards["l1"].interval == pytest.approx((each.mean().item() - error, each.mean().item() + error), abs=1e-6)
    assert cards["l1"].beside == pytest.approx(
        {"input": (x - y).abs().mean().item(), "mean_target": (mean - y).abs().mean().item()}, abs=1e-4
    )
    noise = (made - y).square().mean((1, 2, 3))
    assert cards["psnr"].value == pytest.approx(-10 * noise.log10().mean().item(), abs=1e-4)
    assert cards["l1"].n == 4


def test_reconstructions_in_pixels_and_features(tmp_path: Path) -> None:
    data, extractor = DataModule(Digits()), RandomFeatures()
    extractor.prepare(data, tmp_path)
    judge = ReconstructionJudge(data, Settings(n=30), ["l1"], extractor)
    l1, features = judge.score(Darker())  # type: ignore[arg-type]
    real = data.batch("held_out", 0, 30).samples
    x, y = (quantise(one) for one in (real, real / 2))
    assert l1.metric == "reconstruction_l1"
    assert l1.value == pytest.approx(((x.double() - y.double()) / 255).abs().mean().item(), abs=1e-6)
    a, b = (extractor(one).pool.double() for one in (x, y))
    assert features.metric == "reconstruction_features"
    assert features.value == pytest.approx((a - b).norm(dim=1).mean().item())
    assert features.beside is not None
    assert features.beside["shuffled"] == pytest.approx((a - b.roll(1, 0)).norm(dim=1).mean().item())


@pytest.mark.parametrize("n", [1, 3])
def test_an_image_is_not_its_own_baseline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n: int) -> None:
    """The last batch, or the only one, may have a single image."""
    monkeypatch.setattr("saddlepoint.evaluation.base.AT_ONCE", 2)
    data, extractor = DataModule(Digits()), RandomFeatures()
    extractor.prepare(data, tmp_path)
    judge = ReconstructionJudge(data, Settings(n=n), ["l1"], extractor)
    l1, features = judge.score(Darker())  # type: ignore[arg-type]
    assert l1.n == n
    if n == 1:
        assert l1.beside == {}
        assert "shuffled" not in (features.beside or {})
        return
    real = quantise(data.batch("held_out", 0, 2).samples)
    distance = (real[0].double() - real[1].double()).abs().mean().item() / 255
    assert l1.beside == {"another_image": pytest.approx(distance, abs=1e-6)}
    a, b = (extractor(one).pool.double() for one in (real, quantise(data.batch("held_out", 0, 2).samples / 2)))
    assert features.beside is not None
    assert features.beside["shuffled"] == pytest.approx((a - b.roll(1, 0)).norm(dim=1).mean().item())


def test_what_can_be_had_at_a_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert figures_for((3, 64, 64), None) == ["l1", "psnr", "ssim"]
    assert figures_for((3, 256, 256), ["ssim", "ms_ssim"]) == ["ssim", "ms_ssim"]
    with pytest.raises(UserError, match="161 px or more"):
        figures_for((1, 64, 64), ["ms_ssim"])
    with pytest.raises(UserError, match="AlexNet") as refused:
        figures_for((3, 64, 64), ["lpips"])
    assert str(tmp_path) in str(refused.value.remedy)


def test_lpips_where_its_network_lies_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With any AlexNet in the hub's folder: zero for equal images, and above zero for others."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    pairs.lpips_on.cache_clear()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet().state_dict(), folder / pairs.LPIPS_WEIGHTS)
    assert figures_for((1, 64, 64), ["lpips"]) == ["lpips"]
    assert "lpips" not in figures_for((1, 30, 64), None)
    with pytest.raises(UserError, match="gray or RGB images of 31 px or more"):
        figures_for((4, 64, 64), ["lpips"])
    assert pairs.lpips(images(0, 1, 1, 31, 31), images(1, 1, 1, 31, 31)).isfinite().all()
    x, y = images(0, 2, 1, 64, 64), images(1, 2, 1, 64, 64)
    assert pairs.lpips(x, x).abs().max() < 1e-6
    assert (pairs.lpips(x, y) > 1e-4).all()
    rgb = [one.expand(-1, 3, -1, -1) for one in (x, y)]
    alone = [similarity(*(one[i : i + 1] for one in rgb), "alex", normalize=True) for i in range(2)]
    assert pairs.lpips(x, y).tolist() == [float(value) for value in alone]
    assert pairs.lpips_on.cache_info().misses == 1
