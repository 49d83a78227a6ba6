"""Experiments have the documented settings, and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from saddlepoint.assembly.build import build_data, build_extractor, build_system, fill
from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import options
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.metrics import catalogue
from saddlepoint.types import DataInfo
from saddlepoint.writing import read_json_lines

ON_POINTS = ("modes/grid", "modes/ring")
DIGITS = DataInfo("stub", (1, 8, 8), tuple("0123456789"), {"train": 100, "held_out": 10}, "0" * 32)


def test_the_ring_is_the_demos() -> None:
    config = compose_config("train", ["experiment=modes/ring"])
    data, _ = build_data(config)
    system = build_system(config)
    weights = {
        role: [tuple(p.shape) for p in network.parameters() if p.ndim == 2] for role, network in system.networks.items()
    }
    assert weights == {
        "generator": [(128, 256), (128, 128), (2, 128)],
        "discriminator": [(128, 2), (128, 128), (1, 128)],
    }
    rates = {
        name: optimizer.param_groups[0] for name, optimizer in zip(system.players, system.raw_optimizers, strict=True)
    }
    assert {name: (group["lr"], *group["betas"]) for name, group in rates.items()} == {
        "generator": (1e-3, 0.5, 0.999),
        "discriminator": (1e-4, 0.5, 0.999),
    }
    assert (data.source.name, config.batch_size, config.budget.generator_updates) == ("gaussians_ring", 512, 25_000)
    assert (type(system.loss).__name__, system.averages, system.prior) == ("Minimax", {}, "normal")


def test_the_grid_is_pacgans_but_for_its_length() -> None:
    config = compose_config("train", ["experiment=modes/grid"])
    data, _ = build_data(config)
    system = build_system(config)
    critic = [tuple(p.shape) for p in system.networks["discriminator"].parameters() if p.ndim == 2]
    assert critic == [(1000, 2), (1000, 200), (1000, 200), (1, 200)]  # maxout: five pieces for each of 200 units
    generator = [tuple(p.shape) for p in system.networks["generator"].parameters() if p.ndim == 2]
    assert generator == [(400, 2), (400, 400), (400, 400), (400, 400), (2, 400)]
    assert all(optimizer.param_groups[0]["betas"] == (0.8, 0.999) for optimizer in system.raw_optimizers)
    assert (data.source.name, config.batch_size, config.budget.generator_updates) == ("gaussians_grid", 100, 5_000)


@pytest.mark.parametrize(("model", "loss"), [("dcgan", "NonSaturating"), ("rpgan", "Relativistic")])
def test_stacked_mnist_compares_models_on_the_same_small_networks(model: str, loss: str) -> None:
    config = compose_config("train", ["experiment=modes/stacked", f"model={model}"])
    assert (config.data.source._target_, config.network.width) == ("saddlepoint.data.StackedMNIST", 16)
    assert config.loss._target_ == f"saddlepoint.losses.{loss}"
    assert (config.callbacks.scores.n, config.budget.images, config.batch_size) == (26_000, 320_000, 64)
    extractor = build_extractor(config)
    assert extractor is not None
    for name in config.callbacks.scores.metrics:  # a metric that the features do not support is an error
        assert catalogue.build([name], extractor, 0, 1)


@pytest.mark.parametrize("name", ON_POINTS)
def test_every_experiment_on_points_runs(invoke: Any, name: str, tmp_path: Path) -> None:
    """A few steps; the command line overrides the experiment."""
    quick = ["budget.generator_updates=4", "batch_size=16", "logger=none", "callbacks.theory.modes_every_images=1000"]
    outcome = invoke("train", f"experiment={name}", *quick, "run.dir=run")
    assert outcome.code == 0, outcome.err
    scores = {row["metric"] for row in read_json_lines(tmp_path / "run" / "scores.jsonl")}
    assert {"modes", "high_quality", "reverse_kl"} <= scores
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert (config.batch_size, config.budget.generator_updates) == (16, 4)
    assert (tmp_path / "run" / "pictures" / "theory.gif").exists()


def test_every_model_has_a_quick_experiment() -> None:
    assert options("experiment/quick") == options("model")


@pytest.mark.parametrize("model", options("experiment/quick"))
def test_a_quick_experiment_is_its_model_in_minutes(model: str) -> None:
    """It overrides the choices of the data, and does not change the objective, except that of the unrolled GAN."""
    data = {"pix2pix": "facades", "cyclegan": "unpaired_mnist", "vae": "binarised_mnist"}.get(model, "mnist")
    quick = compose_config("train", [f"experiment=quick/{model}", *([] if data != "mnist" else ["data=mnist"])])
    full = compose_config(
        "train", [f"model={model}", f"data={data}", *(["data.image_size=64"] if model == "pix2pix" else [])]
    )
    check_schema(quick, TrainConfig)
    assert quick.budget.hours * 60 == pytest.approx(4, abs=0.01)
    scores = quick.callbacks.scores
    assert (scores.at_start, scores.every_images) == (True, 100_000_000)  # first and last only
    assert scores.n == (500 if model == "cyclegan" else 2_000)
    for group in ("norm", "conditioning", "minibatch", "regularizer", "features", "data"):
        assert quick.get(group) == full.get(group), group
    assert (quick.loss == full.loss) == (model != "unrolled")
    assert {key for key in full.model if quick.model[key] != full.model[key]} <= {
        "discriminator_steps",
        "unrolled_steps",
        "surrogate",
    }


@pytest.mark.parametrize("model", ["gan", "projgan", "unrolled", "wgan"])
def test_a_quick_experiment_builds(model: str) -> None:
    config = compose_config("train", [f"experiment=quick/{model}"])
    fill(config, DIGITS)
    system = build_system(config)
    expected = {"gan": 8e-4, "projgan": 8e-4, "unrolled": 8e-4, "wgan": 5e-4}[model]
    assert [optimizer.param_groups[0]["lr"] for optimizer in system.raw_optimizers] == [expected, expected]
