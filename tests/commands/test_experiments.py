"""Experiments have the documented settings, and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from saddlepoint.assembly.build import build_data, build_extractor, build_system, fill
from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import config_directory, options
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.metrics import catalogue
from saddlepoint.types import DataInfo
from saddlepoint.writing import read_json_lines

ON_POINTS = ("modes/grid", "modes/ring")
COMPARISONS = {
    "objectives": ("loss", ["nonsaturating", "leastsquares", "hinge", "wasserstein", "ragan"]),
    "penalty": ("regularizer.r1.weight", ["0.1", "1", "10", "100"]),
    "discriminator_steps": ("model.discriminator_steps", ["1", "2", "5"]),
    "batch_size": ("batch_size", ["16", "64", "256"]),
    "augment": ("augment", ["[]", "[diffaugment]", "[ada]"]),
}
"""The setting that each comparison changes, and its values."""
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


BINARISED = ("vae", "pixelcnn", "row_lstm", "diagonal_bilstm")
"""Models whose quick experiments are on binarised MNIST."""


def test_every_model_has_a_quick_experiment() -> None:
    assert options("experiment/quick") == options("model")


@pytest.mark.parametrize("model", options("experiment/quick"))
def test_a_quick_experiment_is_its_model_in_minutes(model: str) -> None:
    """It overrides the choices of the data, and does not change the objective, except that of the unrolled GAN.

    γ of R3GAN, StyleGAN2 and GANsformer depends on the data and on the size of the images, and is applied in other
    turns than in their papers; StyleGAN2 has no path length regularisation, as in its settings for CIFAR-10.
    """
    data = "binarised_mnist" if model in BINARISED else "mnist"
    data = {"pix2pix": "facades", "cyclegan": "unpaired_mnist"}.get(model, data)
    quick = compose_config("train", [f"experiment=quick/{model}", *([] if data != "mnist" else ["data=mnist"])])
    full = compose_config(
        "train", [f"model={model}", f"data={data}", *(["data.image_size=64"] if model == "pix2pix" else [])]
    )
    check_schema(quick, TrainConfig)
    if model == "gansformer":
        full.regularizer.r1.weight, full.regularizer.r1.interval = 1.0, 4
    assert quick.budget.hours * 60 == pytest.approx(4, abs=0.01)
    scores = quick.callbacks.scores
    assert (scores.at_start, scores.every_images) == (True, 100_000_000)  # first and last only
    assert scores.n == (500 if model == "cyclegan" else 2_000)
    for group in ("norm", "conditioning", "minibatch", "regularizer", "features", "data"):
        if (model, group) not in (("r3gan", "regularizer"), ("stylegan2", "regularizer")):
            assert quick.get(group) == full.get(group), group
    assert (quick.loss == full.loss) == (model != "unrolled")
    assert {key for key in full.model if quick.model[key] != full.model[key]} <= {
        "discriminator_steps",
        "unrolled_steps",
        "surrogate",
        "ema_decay",
        "accumulate",
        "stabilise_images",
        "fade_images",
        "generator_batch_multiple",
        "ema_half_life",
    }


@pytest.mark.parametrize("model", ["gan", "projgan", "unrolled", "wgan"])
def test_a_quick_experiment_builds(model: str) -> None:
    config = compose_config("train", [f"experiment=quick/{model}"])
    fill(config, DIGITS)
    system = build_system(config)
    expected = {"gan": 8e-4, "projgan": 8e-4, "unrolled": 8e-4, "wgan": 5e-4}[model]
    assert [optimizer.param_groups[0]["lr"] for optimizer in system.raw_optimizers] == [expected, expected]


def test_every_comparison_is_here_and_has_its_page() -> None:
    assert options("experiment/compare") == sorted(COMPARISONS)
    docs = Path(__file__).parents[2] / "docs"
    for name in COMPARISONS:
        assert f"experiment=compare/{name}" in (docs / "compare" / f"{name}.md").read_text()
        assert f"compare/{name}.md" in (docs / "comparing.md").read_text()


@pytest.mark.parametrize("name", COMPARISONS)
def test_the_settings_of_a_comparison_differ_in_one_key(name: str) -> None:
    experiment, (key, values) = f"experiment=compare/{name}", COMPARISONS[name]
    params = [
        OmegaConf.load(config_directory() / "experiment" / "compare" / f"{file}.yaml").hydra.sweeper.params
        for file in ("_base", name)
    ]
    assert params == [{"seed": "0,1,2"}, {key: ",".join(values)}]
    configs = []
    for value in values:
        config = compose_config("train", [experiment, f"{key}={value}"])
        check_schema(config, TrainConfig)
        unchanged = OmegaConf.masked_copy(config, [str(group) for group in config if group != key.partition(".")[0]])
        configs.append(OmegaConf.to_container(unchanged, resolve=False))
        fill(config, DIGITS)
        assert type(build_system(config)).__name__ == "GAN"
    assert all(config == configs[0] for config in configs)
    config = compose_config("train", [experiment, f"{key}={values[0]}"])
    assert (config.data.source._target_, config.network.width) == ("saddlepoint.data.MNIST", 16)
    assert config.data.fraction == (0.1 if name == "augment" else 1)
    assert config.budget.generator_updates is config.budget.hours is None
    scores = config.callbacks.scores
    assert (scores.every_images * 3, scores.n, scores.at_start) == (config.budget.images, 2_000, False)


@pytest.mark.slow
def test_a_comparison_runs(invoke: Any, tmp_path: Path) -> None:
    """The whole sweep, on digits instead of MNIST and with a small budget."""
    small = [
        "data=digits",
        "seed=0",
        "network.width=4",
        "budget.images=128",
        "features=random",
        "callbacks.scores.n=32",
        "callbacks.scores.metrics=[fid]",
    ]
    outcome = invoke("train", "-m", "experiment=compare/objectives", *small, "hydra.sweep.dir=sweep")
    assert outcome.code == 0, outcome.out
    runs = [json.loads(path.read_text()) for path in sorted((tmp_path / "sweep").glob("*/summary.json"))]
    assert [(run["images_seen"], run["generator_updates"]) for run in runs] == 5 * [(128, 2)]
    table = invoke("report", "runs=sweep", "format=markdown")
    assert table.code == 0, table.err
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.out.splitlines() if line.startswith("|")]
    assert rows[0] == ["loss", "seeds"]
    assert rows[2:] == [[loss, "1"] for loss in COMPARISONS["objectives"][1]]
    assert table.out.count("too few seeds to compare fid_random") == 10
