"""Invalid and malicious checkpoints: all three commands report the file in one line, and no code in it is run."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    """A copy of a valid checkpoint and its sha256 file."""
    for name in ("last.ckpt", "last.ckpt.sha256"):
        shutil.copy(trained / "checkpoints" / name, tmp_path / name)
    return tmp_path / "last.ckpt"


def rewrite(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Overwrite the checkpoint and delete its sha256 file."""
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, checkpoint)
    checkpoint.with_name("last.ckpt.sha256").unlink()


def readers(checkpoint: Path) -> list[tuple[str, ...]]:
    """Return command lines of all three commands that load the checkpoint."""
    path = str(checkpoint)
    return [
        ("sample", f"checkpoint={path}", "n=4"),
        ("evaluate", f"checkpoint={path}"),
        ("train", "network.width=8", f"init_from={path}"),
    ]


def test_no_checkpoint(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "checkpoint: no checkpoint given; give a .ckpt file or a run's folder" in refuse("sample")
    assert "checkpoint: no checkpoint given; give a .ckpt file or a run's folder" in refuse("evaluate")
    for command in readers(tmp_path / "none.ckpt"):
        assert f"no checkpoint at {tmp_path / 'none.ckpt'}" in refuse(*command)
    (tmp_path / "empty").mkdir()
    for command in readers(tmp_path / "empty"):
        assert f"no checkpoint in {tmp_path / 'empty'}" in refuse(*command)


@pytest.mark.filterwarnings("error")  # a warning would be a second line
@pytest.mark.parametrize("content", [b"", b"dear diary\n", b"\x80\x04not a pickle", b"PK\x03\x04 not a zip"], ids=repr)
def test_not_a_checkpoint(refuse: Callable[..., str], tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "some.ckpt"
    file.write_bytes(content)
    for command in readers(file):
        assert f"not a checkpoint: {file}" in refuse(*command)


def test_a_checkpoint_of_another_project(refuse: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "theirs.ckpt"
    for content in ({"state_dict": {"weight": torch.zeros(2)}}, torch.zeros(3), {"saddlepoint": 3}):
        torch.save(content, file)
        for command in readers(file):
            assert f"not a Saddlepoint checkpoint: {file}" in refuse(*command)


def test_a_checkpoint_of_a_newer_format(refuse: Callable[..., str], checkpoint: Path) -> None:
    rewrite(checkpoint, lambda content: content["saddlepoint"].update(format=99, version="7.0"))
    for command in readers(checkpoint):
        line = refuse(*command)
        assert "checkpoint format 99 (written by saddlepoint 7.0)" in line
        assert "reads format 1" in line


def test_a_damaged_checkpoint(refuse: Callable[..., str], checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    for command in readers(checkpoint):
        assert "damaged checkpoint" in refuse(*command)
    checkpoint.with_name("last.ckpt.sha256").unlink()
    for command in readers(checkpoint):
        assert f"not a checkpoint: {checkpoint}" in refuse(*command)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "inside"])
def test_code_in_a_checkpoint_never_runs(
    refuse: Callable[..., str], checkpoint: Path, tmp_path: Path, form: str
) -> None:
    marker = tmp_path / "pwned"
    content: dict[str, Any] = {"state_dict": Evil(marker)}
    if form == "inside":
        rewrite(checkpoint, lambda sound: sound["saddlepoint"]["config"].update(seed=Evil(marker)))
    elif form == "pickle":
        checkpoint.write_bytes(pickle.dumps(content))
    else:
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=form == "zip")
        checkpoint.write_bytes(buffer.getvalue())
    checkpoint.with_name("last.ckpt.sha256").unlink(missing_ok=True)
    for command in readers(checkpoint):
        line = refuse(*command)
        assert f"refused: {checkpoint} contains code" in line
        assert "weights_only" not in line
    assert not marker.exists()


@pytest.mark.parametrize(
    ("part", "target"), [("loss", "os.mkdir"), ("model", "torch.load"), ("network", "pathlib.Path.write_text")]
)
def test_a_checkpoints_config_names_registered_parts_only(
    refuse: Callable[..., str], checkpoint: Path, tmp_path: Path, part: str, target: str
) -> None:
    def poison(content: dict[str, Any]) -> None:
        config = content["saddlepoint"]["config"]
        config["plugins"] = ["os", "torch", "pathlib"]  # the checkpoint's own list is ignored
        node = config["network"]["generator"] if part == "network" else config[part]
        node.clear()
        node.update(_target_=target, path=str(tmp_path / "pwned"))

    rewrite(checkpoint, poison)
    for command in readers(checkpoint)[:2]:
        assert f"target '{target}' is not allowed" in refuse(*command)


def test_a_checkpoint_that_lacks_what_it_should_hold(refuse: Callable[..., str], checkpoint: Path) -> None:
    rewrite(checkpoint, lambda content: content["state_dict"].popitem())
    assert "is not compatible with this version" in refuse(*readers(checkpoint)[0])
    rewrite_again = torch.load(checkpoint, weights_only=True)
    del rewrite_again["saddlepoint"]["config"]
    torch.save(rewrite_again, checkpoint)
    assert ": its config is missing" in refuse(*readers(checkpoint)[0])


def test_init_from_another_model(refuse: Callable[..., str], checkpoint: Path) -> None:
    line = refuse("train", "model=lsgan", "network.width=8", f"init_from={checkpoint}")
    assert "is a checkpoint of model 'dcgan', and this run is of model 'lsgan'" in line


def test_init_from_other_networks(refuse: Callable[..., str], checkpoint: Path) -> None:
    line = refuse("train", "network.width=4", f"init_from={checkpoint}")
    assert "has different networks" in line
    assert "choose the same network and image size" in line


# evaluate and sample


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("sample n=0", "n: input should be greater than 0, got 0"),
        ("sample n=-3", "n: input should be greater than 0, got -3"),
        ("sample truncation=0", "truncation: input should be greater than 0, got 0"),
        ("evaluate truncation=[0.5,2]", "truncation: input should be less than or equal to 1, got 2"),
        ("sample truncation=1.5", "truncation: input should be less than or equal to 1, got 1.5"),
        ("sample format=[jpg]", "format: input should be 'grid', 'png', 'npz', 'gif' or 'mp4', got 'jpg'"),
        ("sample frmat=[png]", "frmat: unknown key; did you mean 'format'?"),
        ("sample device=tpu", "device: input should be"),
        ("sample out=last.ckpt/samples", "cannot write to last.ckpt/samples: Not a directory"),
        ("evaluate n=0", "n: input should be greater than 0, got 0"),
        ("evaluate metrics=[fidd]", "unknown metric 'fidd'; did you mean 'fid'?"),
        ("evaluate features=inception", "cannot download weights-inception-2015-12-05-6726825d.pth"),
        ("evaluate out=last.ckpt/scores.jsonl", "cannot write to last.ckpt/scores.jsonl: Not a directory"),
        ("evaluate data=nowhere", "data: unknown choice 'nowhere'"),
        ("evaluate data=gaussians", "choose the data that it was trained on"),
        (
            "evaluate data=digits data.image_size=16",
            "data: the data has shape (1, 16, 16), but the checkpoint was trained on (1, 8, 8)",
        ),
    ],
)
def test_evaluate_and_sample(refuse: Callable[..., str], checkpoint: Path, arguments: str, named: str) -> None:
    command, *rest = arguments.split()
    assert named in refuse(command, f"checkpoint={checkpoint}", *rest)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there(refuse: Callable[..., str], checkpoint: Path) -> None:
    for command in ("sample", "evaluate"):
        assert "device: this machine has no cuda device; use cpu" in refuse(
            command, f"checkpoint={checkpoint}", "device=cuda"
        )
    assert refuse("train", "network.width=8", "trainer=gpu", "features=random").startswith("trainer: ")
