from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.assembly.restore import find, restore
from saddlepoint.exploring import noise
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


def test_pictures_of_an_earlier_run_are_not_mixed_with_new_ones(
    invoke: Any, refuse: Callable[..., str], trained: Path, tmp_path: Path
) -> None:
    given = (f"checkpoint={trained}", "out=made")
    for arguments in (("format=[grid,png]", "n=6"), ("format=[grid,png]", "n=12", "seed=1"), ("format=npz", "n=3")):
        assert invoke("sample", *given, *arguments).code == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "made").iterdir()}
    line = "out: made contains {} of an earlier run, which would be scored together with these samples; choose another"
    for arguments, name in {
        ("format=[grid,png]", "n=11"): "000011.png",
        ("format=png", "n=12"): "grid.png",
        ("format=[grid,png]", "n=10", "mode=truncation"): "000010.png",
    }.items():
        assert refuse("sample", *given, *arguments).startswith(line.format(name))
    assert {file.name: file.read_bytes() for file in (tmp_path / "made").iterdir()} == before


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


@pytest.mark.parametrize(
    ("out", "taken", "said"),
    [
        ("/proc/x", None, "/proc/x: No such file or directory"),
        ("notes.txt", None, "notes.txt: File exists"),
        ("notes.txt/deep/down", None, "notes.txt/deep/down: Not a directory"),
        ("x", "grid.png", "x/grid.png: Is a directory"),
        ("x", "000003.png", "x/000003.png: Is a directory"),
        ("x", "samples.npz", "x/samples.npz: Is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_found_out_before_drawing(
    refuse: Callable[..., str],
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    taken: str | None,
    said: str,
) -> None:
    monkeypatch.setattr(noise, "draw", lambda *_: pytest.fail("drawn for nothing"))
    (tmp_path / "notes.txt").touch()
    if taken is not None:
        (tmp_path / "x" / taken).mkdir(parents=True)
    line = refuse("sample", f"checkpoint={trained}", "n=4", "format=[grid,png,npz]", f"out={out}")
    assert line == f"cannot write to {said}; set out to a folder that can be written"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files, so that a write fails in the middle of a file as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("form", "name"), [("npz", "samples.npz"), ("grid", "grid.png")])
def test_a_full_disk_leaves_no_cut_file(
    invoke: Any, refuse: Callable[..., str], trained: Path, tmp_path: Path, form: str, name: str
) -> None:
    command = ("sample", f"checkpoint={trained}", f"format=[{form}]")
    assert invoke(*command, "n=4", "out=there").code == 0
    whole = (tmp_path / "there" / name).read_bytes()
    for out in ("there", "new/folder"):
        with largest_file(20_000):
            assert refuse(*command, "n=2000", f"out={out}").startswith(
                f"cannot write to {out}: File too large; set out"
            )
    assert (tmp_path / "there" / name).read_bytes() == whole


def test_labels_of_no_class_leave_no_folder(refuse: Callable[..., str], trained: Path) -> None:
    assert "this generator is unconditional" in refuse(
        "sample", f"checkpoint={trained}", "labels=all", "out=new/folder"
    )


def test_each_job_of_a_sweep_has_a_folder_of_its_own(invoke: Any, sample: Any, trained: Path, tmp_path: Path) -> None:
    alone = [sample(f"alone{seed}", "n=4", f"seed={seed}") for seed in (5, 6)]
    before = set(tmp_path.iterdir())
    outcome = invoke("sample", "-m", f"checkpoint={trained}", "n=4", "seed=5,6", "out=both", "format=[npz]")
    assert outcome.code == 0, outcome.err
    assert set(tmp_path.iterdir()) - before == {tmp_path / "both"}
    written = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "both").rglob("*") if path.is_file())
    assert written == ["both/0/samples.npz", "both/1/samples.npz"]
    assert all(path in outcome.out for path in written)
    for path, images in zip(written, alone, strict=True):
        assert (np.load(tmp_path / path)["images"] == images).all()


def test_a_sweep_that_fails_leaves_nothing_of_its_own(invoke: Any, trained: Path, tmp_path: Path) -> None:
    outcome = invoke("sample", "-m", f"checkpoint={trained}", "seed=0,1", "out=/proc/x")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("error: cannot write to /proc/x/0: No such file or directory")
    assert not any(tmp_path.iterdir())


def test_nan_in_the_weights_is_one_line(refuse: Callable[..., str], trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "nan.ckpt"
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    for key, value in content["state_dict"].items():
        if key.startswith(("generator.", "ema_generator.")) and value.is_floating_point():
            value.flatten()[0] = torch.nan
    torch.save(content, path)
    for more in (["n=4", "format=[grid,npz]"], ["n=4", "ema=false"], ["export=generator"]):
        line = refuse("sample", f"checkpoint={path}", *more)
        assert line.startswith("checkpoint")
        assert f"{path}" in line
        assert "NaN or infinite values" in line
        assert line.endswith("choose an earlier checkpoint")
    line = refuse("evaluate", f"checkpoint={path}", "seeds=2", "out=cards.jsonl")
    assert line.startswith("cannot score dcgan after 300 images, ")
    assert line.endswith("the generator has diverged; choose an earlier checkpoint, or other samples")


def test_nan_points_are_one_line(invoke: Any, refuse: Callable[..., str], tmp_path: Path) -> None:
    """Unlike images, points are not quantised, which would detect NaN."""
    quick = ("network.width=8", "budget.images=64", "callbacks.theory.enabled=false", "logger=none", "run.dir=run")
    outcome = invoke("train", "data=gaussians", *quick)
    assert outcome.code == 0, outcome.err
    path = tmp_path / "nan.ckpt"
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    for key, value in content["state_dict"].items():
        if key.startswith(("generator.", "ema_generator.")) and value.is_floating_point():
            value.fill_(torch.nan)
    torch.save(content, path)
    assert "contain NaN" in refuse("sample", f"checkpoint={path}", "n=4", "format=[npz,grid]")
    assert "points contain NaN" in refuse("evaluate", f"checkpoint={path}")
