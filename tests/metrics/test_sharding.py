"""An evaluation on several processes gives the figures of a single process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from saddlepoint.metrics import sharding
from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.moments import Moments
from saddlepoint.metrics.sharding import merge, shard

PROGRAM = Path(__file__).with_name("sharding_program.py")


def test_two_gloo_processes_give_the_scores_of_one(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from sharding_program import N, evaluate

    alone = evaluate(tmp_path)  # caches the real statistics in the folder for the two processes
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, PROGRAM, str(rank), tmp_path], env=environment, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    (first, together), (second, nothing) = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == [0, 128]
    assert second == [128, N - 128]
    assert nothing == {}
    assert len(together) > 10
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        assert together[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [1, 64, 65, 300, 1000])
def test_shards_are_whole_blocks_that_follow_each_other(n: int, size: int, monkeypatch) -> None:
    found = []
    monkeypatch.setattr(sharding.ranks, "world_size", lambda: size)
    for rank in range(size):
        monkeypatch.setattr(sharding.dist, "get_rank", lambda rank=rank: rank)
        found.append(shard(n))
    ends = [0, *(first + count for first, count in found)]
    assert [first for first, _ in found] == ends[:-1]
    assert ends[-1] == n
    assert all(first % 64 == 0 or count == 0 for first, count in found)
    counts = [count for _, count in found]
    assert max(counts) - min(counts) <= 64 + 63


def test_merged_samples_are_one() -> None:
    rows, labels = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3

    def sample(part: slice) -> Sample:
        moments, by_class = Moments(4), {}
        moments.update(rows[part])
        for label in set(labels[part].tolist()):
            by_class[label] = Moments(4)
            by_class[label].update(rows[part][labels[part] == label])
        counts = torch.bincount(labels[part], minlength=3)
        own = {"labels": labels[part], "images": images[part]}
        return Sample(moments, rows[part], label_counts=counts, class_moments=by_class, **own)

    nothing = Sample(moments=Moments(4))
    images = torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(-1, 3, 8, 8)
    whole, merged = sample(slice(0, 50)), merge([sample(slice(0, 2)), nothing, sample(slice(2, 50))])
    assert torch.equal(merged.pool, rows)
    assert torch.equal(merged.labels, labels)
    assert torch.equal(merged.images, images)
    assert torch.equal(merged.label_counts, whole.label_counts)
    torch.testing.assert_close(merged.moments.covariance, rows.double().T.cov(), rtol=1e-12, atol=0)
    for label in range(3):
        expected = rows[labels == label].double().T.cov()
        torch.testing.assert_close(merged.class_moments[label].covariance, expected, rtol=1e-12, atol=0)
    assert merged.logits is None
