"""Runs on shards and on parquet files, on one and on two ranks, killed and resumed."""

from __future__ import annotations

from typing import Any

import pytest
from shards import write_parquet, write_shards
from test_kills import assert_kills_change_nothing

RANKS = ("trainer=ddp", "trainer.accelerator=cpu", "batch_size=8")
DATA = {
    "webdataset": ("data=webdataset", "data.root=files/train-{000000..000002}.tar"),
    "huggingface": ("data=huggingface", "data.root=files"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
def test_killed_twice_on_two_ranks(user: Any, name: str) -> None:
    """An epoch has 60 images or 54, so that the run is killed in its first epochs and in later ones."""
    write_shards(user.folder / "files")
    write_parquet(user.folder / "files" / "train-0.parquet", range(54))
    write_parquet(user.folder / "files" / "test-0.parquet", range(60, 66))
    data = (*DATA[name], "data.image_size=8", "data.loader=workers", "data.flip=true", "data.cache_dir=cache")
    assert_kills_change_nothing(user, (*user.tiny, *data, *RANKS), 2, tiny=True)
