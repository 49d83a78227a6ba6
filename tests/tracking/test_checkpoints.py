from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from saddlepoint.assembly.lightning import AtomicCheckpointIO
from saddlepoint.errors import UserError
from saddlepoint.tracking.checkpoints import FORMAT, load

CONTENT: dict[str, Any] = {
    "saddlepoint": {"format": FORMAT, "version": "0", "config": {"seed": 3, "lr": [1e-4, None]}},
    "state_dict": {"weight": torch.arange(12.0).view(3, 4).bfloat16(), "steps": torch.tensor(7)},
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, path)
    return path


def test_what_is_saved_is_loaded(saved: Path) -> None:
    loaded = AtomicCheckpointIO().load_checkpoint(saved)
    assert loaded["saddlepoint"] == CONTENT["saddlepoint"]
    for name, tensor in CONTENT["state_dict"].items():
        assert loaded["state_dict"][name].dtype == tensor.dtype
        assert torch.equal(loaded["state_dict"][name], tensor)
    assert torch.load(saved, weights_only=True)["saddlepoint"]["format"] == FORMAT  # with torch alone


def test_the_digest_is_what_sha256sum_checks(saved: Path) -> None:
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert saved.with_name("last.ckpt.sha256").read_text() == f"{digest}  last.ckpt\n"
    assert sorted(file.name for file in saved.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_saving_again_replaces_both(saved: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({**CONTENT, "more": 1}, saved)
    assert load(saved)["more"] == 1
    assert len(list(saved.parent.iterdir())) == 2


def test_a_flipped_bit_anywhere_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for position in range(0, len(whole), len(whole) // 40):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        saved.write_bytes(flipped)
        with pytest.raises(UserError, match=r"damaged checkpoint .*last\.ckpt.*does not match last\.ckpt\.sha256"):
            load(saved)
    saved.write_bytes(whole)
    load(saved)


def test_a_checkpoint_without_its_digest_loads(saved: Path) -> None:
    """As if only the checkpoint had been copied, or the machine had crashed between the two writes of a save."""
    saved.with_name("last.ckpt.sha256").unlink()
    assert load(saved)["saddlepoint"] == CONTENT["saddlepoint"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_file_without_its_digest_is_no_checkpoint(saved: Path, share: float) -> None:
    saved.with_name("last.ckpt.sha256").unlink()
    saved.write_bytes(saved.read_bytes()[: int(share * saved.stat().st_size)])
    with pytest.raises(UserError, match="not a checkpoint"):
        load(saved)


@pytest.mark.parametrize("version", [FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused_by_its_number(tmp_path: Path, version: int) -> None:
    path = tmp_path / "other.ckpt"
    AtomicCheckpointIO().save_checkpoint({"saddlepoint": {"format": version, "version": "9.9"}}, path)
    with pytest.raises(UserError, match=rf"format {version} \(written by saddlepoint 9\.9\).*reads format {FORMAT}"):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read checkpoint .*gone\.ckpt: No such file"):
        load(tmp_path / "gone.ckpt")


def test_removing_removes_the_digest_too(saved: Path) -> None:
    AtomicCheckpointIO().remove_checkpoint(saved)
    AtomicCheckpointIO().remove_checkpoint(saved)
    assert not any(saved.parent.iterdir())
