"""Two processes: losses and turns on two parts of a batch give the same results as on the whole batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saddlepoint import ranks

PROGRAM = Path(__file__).with_name("ranks_program.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the results of the two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    started = [
        subprocess.Popen([sys.executable, str(PROGRAM), str(rank), str(folder)], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=200)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", ["ragan bce", "ragan hinge", "mmd rational_quadratic", "mmd distance"])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_two_ranks_give_the_gradient_of_the_whole_batch(found: list[dict[str, Any]], name: str, player: str) -> None:
    whole = found[0]["alone"][name][player]
    assert np.abs(whole["gradient"]).max() > 1e-3
    for rank in (0, 1):
        shared = found[rank]["together"][name][player]
        np.testing.assert_allclose(shared["loss"], whole["loss"], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(shared["gradient"], whole["gradient"], rtol=1e-4, atol=1e-6)
    assert found[0]["together"][name][player] == found[1]["together"][name][player]  # bitwise


def test_gather_concatenates_unequal_numbers_of_rows_and_has_gradients_of_own_rows(found: list[dict[str, Any]]) -> None:
    rows = [*np.arange(12.0).reshape(3, 2, 2).tolist(), [[50.0, 50.0], [50.0, 50.0]]]
    for rank in (0, 1):
        assert found[rank]["gather"]["rows"] == rows
    # d/drow of Σ weight · row is the weight, times the two ranks over which gradients are averaged later
    assert found[0]["gather"]["gradient"] == [[[2.0 * w] * 2] * 2 for w in (1, 2, 3)]
    assert found[1]["gather"]["gradient"] == [[[8.0] * 2] * 2]


def test_mode_seeking_uses_the_pairs_of_all_ranks_and_a_single_sample_has_none(found: list[dict[str, Any]]) -> None:
    z = np.arange(6.0).reshape(3, 2) ** 2
    distances = [np.abs(x - np.roll(x, 1, 0)).mean(1) for x in (np.sin(z), z)]
    ratio = (distances[0] / distances[1]).mean()
    for rank in (0, 1):
        np.testing.assert_allclose(found[rank]["mode ratio"], [1 / (ratio + 1e-5), ratio], rtol=1e-5)


def test_mean_is_bitwise_the_same_on_all_ranks(found: list[dict[str, Any]]) -> None:
    assert found[0]["mean"] == found[1]["mean"]
    np.testing.assert_allclose([float.fromhex(value) for value in found[0]["mean"]], [2.5 / 3, 0.25], rtol=1e-6)


def test_began_uses_the_mean_over_ranks(found: list[dict[str, Any]]) -> None:
    """L(x) = (4 + 6)/2 and L(G) = (1 + 2)/2: k = 0.1 (0.5·5 - 1.5)."""
    assert found[0]["began"] == found[1]["began"]
    np.testing.assert_allclose(found[0]["began"], [0.1, 5.0], rtol=1e-6)


def test_all_ranks_use_the_clock_of_rank_zero(found: list[dict[str, Any]]) -> None:
    """Otherwise the ranks would stop at different times and have different learning rates."""
    assert found[0]["clock"] == found[1]["clock"] == [5.25, True, -0.5]


def test_a_turn_of_two_players_on_two_ranks_equals_the_whole_batchs(found: list[dict[str, Any]]) -> None:
    """Compares weights after a step with clipping, gradient norms, and averaged running statistics."""
    whole, shared = found[0]["cycle alone"], [found[rank]["cycle"] for rank in (0, 1)]
    assert (whole["seen"], shared[0]["seen"], shared[1]["seen"]) == (8, 4, 4)
    assert shared[0]["weights"] == shared[1]["weights"]  # bitwise
    assert shared[0]["norms"] == shared[1]["norms"]
    np.testing.assert_allclose(shared[0]["norms"], whole["norms"], rtol=1e-5)
    assert min(whole["norms"]) > 0.06  # both are clipped to 0.05
    assert whole["norms"][0] != pytest.approx(whole["norms"][1], rel=0.1)
    for name, value in whole["weights"].items():
        np.testing.assert_allclose(shared[0]["weights"][name], value, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    "name",
    [
        *("vae", "pixelcnn", "infogan", "bigan", "aae", "vaegan", "lapgan", "gran"),
        *("progan", "stylegan2", "transgan", "vitgan", "gansformer"),
        *("pix2pix", "pix2pix without noise", "cyclegan"),
    ],
)
def test_games_of_all_kinds_end_with_the_same_bits_on_both_ranks(found: list[dict[str, Any]], name: str) -> None:
    alone, first, second = found[0]["games alone"][name], found[0]["games"][name], found[1]["games"][name]
    assert first == second
    assert first.keys() == alone.keys()
    assert any(key.startswith("ema_") for key in first)


@pytest.mark.parametrize("name", ["pix2pix without noise", "cyclegan"])
def test_games_without_draws_or_batch_norm_learn_as_one_rank_does_from_the_whole_batch(
    found: list[dict[str, Any]], name: str
) -> None:
    """The pools of CycleGAN too: they take the fakes of all ranks in the order of the whole batch."""
    for key, values in found[0]["games alone"][name].items():
        np.testing.assert_allclose(found[0]["games"][name][key], values, rtol=1e-4, atol=1e-5, err_msg=key)


def test_trees_are_gathered(found: list[dict[str, Any]]) -> None:
    for rank in (0, 1):
        assert found[rank]["structures"] == {
            "logits": [0, 1, 10, 11, 12],
            "features": [[0, 0]] * 2 + [[1, 1]] * 3,
            "none": None,
            "own": True,
        }


def test_one_process_returns_its_input() -> None:
    rows = torch.ones(3, 2, requires_grad=True)
    assert ranks.world_size() == 1
    assert ranks.gather(rows) is rows
    mean = ranks.mean(rows * 2)
    assert not mean.requires_grad
    assert mean.tolist() == [[2.0, 2.0]] * 3
