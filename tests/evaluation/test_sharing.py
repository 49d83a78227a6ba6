"""Sources of samples: generated and translated images, their indices, and columns as data sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from saddlepoint.data import DataModule
from saddlepoint.evaluation.sharing import Column, Generated, Task, Translated, announce
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems import GAN, Pix2Pix

PROGRAM = Path(__file__).with_name("sharing_program.py")


def task(n: int, seed: int = 0, ema: bool = True, labelled: bool = True) -> Task:
    return Task(n, seed, ema, labelled, frozenset(), None)


def test_generated_samples_are_the_systems(gan: GAN, digits: DataModule) -> None:
    with torch.no_grad():
        for weight in gan.networks["generator"].parameters():  # the averages stay as they are
            weight.mul_(2)
    drawn = {}
    for ema in (True, False):
        blocks, labels = Generated().draw(gan, task(150, seed=4, ema=ema))
        drawn[ema] = torch.cat(list(blocks))
        assert labels is None  # it is unconditional
        assert torch.equal(drawn[ema], quantise(gan.sample(150, seed=4, ema=ema)))
        indices = torch.tensor([149, 0, 64, 63])
        assert torch.equal(Generated().images_at(gan, 4, ema)(indices), drawn[ema][indices])
    assert not torch.equal(drawn[True], drawn[False])
    assert Generated().real(digits) is digits


def test_translated_samples_are_held_out_inputs_translated(pix2pix: Pix2Pix, pairs: Any) -> None:
    samples = Translated(pairs, "inputs_to_targets", "inputs", "targets")
    blocks, labels = samples.draw(pix2pix, task(260))
    drawn = list(blocks)
    assert [len(block) for block in drawn] == [250, 10]
    assert labels is None
    inputs = quantise(pairs.column("held_out", "inputs", 0, 260)).int()
    assert torch.equal(torch.cat(drawn).int(), 255 - inputs)
    indices = torch.tensor([255, 3])
    assert torch.equal(samples.images_at(pix2pix, 0, True)(indices).int(), 255 - inputs[indices])


def test_a_column_is_a_data_set_without_labels(pairs: Any) -> None:
    column = Translated(pairs, "inputs_to_targets", "inputs", "targets").real(pairs)
    assert isinstance(column, Column)
    assert (column.info.shape, column.info.sizes) == ((1, 8, 8), {"train": 300, "held_out": 270})
    assert (column.info.columns, column.info.class_names) == (None, None)
    assert column.info.fingerprint not in (pairs.info.fingerprint, Column(pairs, "inputs").info.fingerprint)
    inputs, targets = (
        torch.cat([batch for batch, _ in Column(pairs, name).uint8_batches("train", 128)]).int()
        for name in ("inputs", "targets")
    )
    assert len(inputs) == 300
    assert torch.equal(targets, 255 - inputs)


def test_a_single_process_needs_no_broadcast() -> None:
    announce(task(10))
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_two_processes_give_the_scores_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from sharing_program import evaluate

    alone = evaluate(0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, PROGRAM, str(rank), tmp_path], env=environment, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    together, nothing = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert nothing == [{}, {}]
    assert [list(scores) for scores in together] == [["fid_random"]] * 2
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
