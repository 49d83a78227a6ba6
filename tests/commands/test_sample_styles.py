"""Modes of ``sample.py`` for models with styles: mixing, directions of styles, projected images."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.assembly.restore import restore
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures

pytestmark = pytest.mark.parametrize("other_game", ["stylegan2"], indirect=True)


@pytest.fixture
def make(invoke: Any, other_game: Path, tmp_path: Path) -> Any:
    """Sample in a mode, and return the arrays of the npz and the picture."""
    names = map(str, itertools.count())

    def run(*arguments: str) -> tuple[Any, Any]:
        out = next(names)
        outcome = invoke("sample", f"checkpoint={other_game}", f"out={out}", "format=[grid,npz]", *arguments)
        assert outcome.code == 0, outcome.err
        return np.load(tmp_path / out / "samples.npz"), np.asarray(Image.open(tmp_path / out / "grid.png"))

    return run


@pytest.fixture
def system(other_game: Path) -> Any:
    return restore(other_game / "checkpoints" / "best.ckpt", "cpu").system


def pixels(samples: torch.Tensor) -> Any:
    return quantise(samples).permute(0, 2, 3, 1).numpy()


def close(ours: Any, theirs: Any) -> bool:
    """Whether 8-bit images differ by rounding at most."""
    return bool(np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1)


@torch.no_grad()
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_mixed_samples_have_coarse_styles_of_rows_and_fine_ones_of_columns(make: Any, system: Any, cut: int) -> None:
    arrays, picture = make("mode=mix", "n=7", "columns=3", "seed=4", "truncation=0.7", f"cut={cut}")
    draw = system.draw(4, 0, 5, 0.7)
    w = system.styles(draw)
    assert arrays["images"].shape == (6, 8, 8, 1)
    for row, column in itertools.product(range(2), range(3)):
        mixed = torch.cat([w[row, :cut], w[2 + column, cut:]])[None]
        expected = system.from_styles(mixed, draw.noise[row : row + 1])
        assert close(arrays["images"][3 * row + column], pixels(expected)[0])
    sources = system.sample(5, seed=4, truncation=0.7)
    assert close(arrays["coarse"], pixels(sources[:2]))
    assert close(arrays["fine"], pixels(sources[2:]))
    if cut == 2:
        default, _ = make("mode=mix", "n=7", "columns=3", "seed=4", "truncation=0.7")
        assert (default["images"] == arrays["images"]).all()
    cells = [np.zeros((1, 8, 8, 1), np.uint8), arrays["fine"]]
    for row in range(2):
        cells += [arrays["coarse"][row : row + 1], arrays["images"][3 * row : 3 * row + 3]]
    shown = torch.from_numpy(np.concatenate(cells)).permute(0, 3, 1, 2)
    assert (picture == np.asarray(pictures.grid(shown, 4))).all()


def test_there_are_styles_on_both_sides_of_the_cut(refuse: Callable[..., str], other_game: Path) -> None:
    checkpoint = f"checkpoint={other_game / 'checkpoints' / 'last.ckpt'}"
    assert refuse("sample", checkpoint, "mode=mix", "cut=4") == "cut: the model has 4 styles; set it to 1 to 3"
    assert refuse("sample", checkpoint, "cut=2") == "cut: mode=grid does not use it; leave it out"
    assert refuse("sample", checkpoint, "mode=mix", "labels=1") == "labels: mode=mix does not use it; leave it out"


@torch.no_grad()
@pytest.mark.parametrize("along", ["sefa", "pca"])
def test_rows_move_styles_along_orthogonal_directions(make: Any, system: Any, along: str) -> None:
    found = make("mode=traverse", f"along={along}", "n=15", "columns=5")[0]["images"]
    draw = system.draw(0, 0, 512)
    w = system.styles(draw)[:, 0].double().numpy()
    if along == "sefa":
        weight = torch.cat(
            [m.affine.weight for m in system.network("generator").modules() if hasattr(m, "affine")]
        ).double()
        directions = np.linalg.svd(weight.numpy())[2]
    else:
        directions = np.linalg.svd(w - w.mean(0))[2]
    for row, direction in enumerate(directions[:3]):
        direction = direction * np.sign(direction[np.abs(direction).argmax()])
        moved = w[:1] + np.linspace(-3, 3, 5)[:, None] * (w @ direction).std(ddof=1) * direction
        styles = torch.from_numpy(moved).float()[:, None].expand(-1, 4, -1)
        expected = system.from_styles(styles, draw.noise[:1].expand(5, -1))
        assert close(found[5 * row : 5 * row + 5], pixels(expected)), (along, row)


def test_other_modes_keep_the_noise_of_the_layers(make: Any, system: Any) -> None:
    found = make("mode=interpolate", "n=4", "columns=2")[0]["images"]
    draw = system.draw(0, 0, 2)
    with torch.no_grad():
        w = system.styles(draw)
        assert close(found[::2], pixels(system.from_styles(w, draw.noise[:1].expand(2, -1))))
    rows = make("mode=truncation", "n=20")[0]["images"].reshape(5, 4, -1).astype(float)
    spread = [row.std(0).mean() for row in rows]
    assert spread[4] < 0.5 * spread[0]


def test_generated_images_are_projected_back(make: Any, system: Any, tmp_path: Path) -> None:
    with torch.no_grad():
        w = system.styles(system.draw(11, 0, 3))
        center = w.mean(0, keepdim=True) + 3 * (w - w.mean(0, keepdim=True))
        images = system.from_styles(center)
        mean = system.styles(system.draw(0, 0, 512)).mean(0, keepdim=True)
        at_mean = system.from_styles(mean)
    (tmp_path / "in").mkdir()
    for index, image in enumerate(quantise(images)):
        Image.fromarray(image[0].numpy()).save(tmp_path / "in" / f"{index}.png")
    arrays, _ = make("mode=project", "inputs=in")
    assert (arrays["inputs"] == pixels(images)).all()
    before = np.square(pixels(at_mean).astype(float) - arrays["inputs"]).mean((1, 2, 3))
    after = np.square(arrays["images"].astype(float) - arrays["inputs"]).mean((1, 2, 3))
    assert (after < 0.3 * before).all(), (before, after)
    assert arrays["codes"].shape == (3, 8)
    held_out, _ = make("mode=project", "n=2")
    assert held_out["images"].shape == (2, 8, 8, 1)
