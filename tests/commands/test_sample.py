from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saddlepoint.commands.restore import find, restore
from saddlepoint.metrics.quantise import quantise


@pytest.fixture
def sample(invoke: Any, trained: Path, tmp_path: Path) -> Any:
    """Sample into ``out`` and return the npz's images, uint8 [N, H, W, C]."""

    def run(out: str, *arguments: str) -> Any:
        outcome = invoke("sample", f"checkpoint={trained}", f"out={out}", "format=[npz]", *arguments)
        assert outcome.code == 0, outcome.err
        return np.load(tmp_path / out / "samples.npz")["images"]

    return run


def test_the_three_formats_hold_the_same_samples(invoke: Any, trained: Path, tmp_path: Path) -> None:
    outcome = invoke("sample", f"checkpoint={trained}", "n=6", "format=[grid,png,npz]", "columns=3", "out=new/folder")
    assert outcome.code == 0, outcome.err
    out = tmp_path / "new" / "folder"
    images = np.load(out / "samples.npz")["images"]
    assert images.shape == (6, 8, 8, 1)
    assert images.dtype == np.uint8
    system = restore(find(str(trained)), "cpu").system
    assert (images == quantise(system.sample(6, seed=0)).permute(0, 2, 3, 1).numpy()).all()

    assert sorted(file.name for file in out.glob("0*.png")) == [f"{i:06d}.png" for i in range(6)]
    for i, image in enumerate(images):
        single = Image.open(out / f"{i:06d}.png")
        assert single.mode == "L"
        assert (np.asarray(single) == image[..., 0]).all()

    grid = np.asarray(Image.open(out / "grid.png"))
    scale = grid.shape[1] // (3 * 9 + 1)
    small = grid[scale // 2 :: scale, scale // 2 :: scale]
    for i, image in enumerate(images):
        top, left = 1 + i // 3 * 9, 1 + i % 3 * 9
        assert (small[top : top + 8, left : left + 8] == image[..., 0]).all()


def test_by_default_one_grid(invoke: Any, trained: Path, tmp_path: Path) -> None:
    assert invoke("sample", f"checkpoint={trained / 'checkpoints' / 'last.ckpt'}").code == 0
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["grid.png"]


def test_one_seed_is_the_same_twice_and_for_any_n(sample: Any, tmp_path: Path) -> None:
    few = sample("few", "n=10")
    sample("again", "n=10")
    many = sample("many", "n=130")
    assert (tmp_path / "few" / "samples.npz").read_bytes() == (tmp_path / "again" / "samples.npz").read_bytes()
    assert (many[:10] == few).all()
    assert len({image.tobytes() for image in many}) > 100


def test_every_choice_changes_the_samples(sample: Any) -> None:
    plain = sample("plain", "n=64")
    for choice in ("seed=1", "ema=false", "truncation=0.5"):
        assert (sample(choice.replace("=", "-"), "n=64", choice) != plain).any(), choice


def test_truncation_narrows_the_samples(sample: Any) -> None:
    full, half, tenth = (sample(f"at-{t}", "n=200", f"truncation={t}").std(axis=0).mean() for t in (1, 0.5, 0.1))
    assert full > half > tenth
