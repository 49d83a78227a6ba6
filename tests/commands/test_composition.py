"""Composes every model with data sets, and with every option of every group."""

from __future__ import annotations

from functools import cache, partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import pytest
import torch
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from saddlepoint.assembly import build, lightning
from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import config_directory, options
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.panel import assistants, panel
from saddlepoint.training import plan
from saddlepoint.training.recording import plain_config
from saddlepoint.types import DataInfo

CONF = config_directory()


def compose(*overrides: str) -> DictConfig:
    return compose_config("train", overrides)


DIGITS = DataInfo("stub", (1, 8, 8), tuple("0123456789"), {"train": 100, "held_out": 10}, "0" * 32)


def test_the_lists_are_complete() -> None:
    assert options("model") == [
        "aae",
        "acgan",
        "began",
        "bigan",
        "biggan",
        "cgan",
        "cyclegan",
        "dcgan",
        "diagonal_bilstm",
        "dragan",
        "ebgan",
        "fgan",
        "gan",
        "gansformer",
        "gran",
        "infogan",
        "lapgan",
        "lsgan",
        "mmdgan",
        "msgan",
        "pacgan",
        "patchgan",
        "pix2pix",
        "pixelcnn",
        "progan",
        "projgan",
        "r3gan",
        "ragan",
        "rgan",
        "row_lstm",
        "rpgan",
        "sagan",
        "sngan",
        "stylegan2",
        "transgan",
        "unrolled",
        "vae",
        "vaegan",
        "vitgan",
        "wgan",
        "wgan_gp",
    ]


@pytest.mark.parametrize("model", options("model"))
def test_a_model_chooses_parts_and_sets_none_of_their_values(model: str) -> None:
    config = compose(f"model={model}")
    choices = {
        entry.split("/")[-1]: value
        for default in OmegaConf.to_container(OmegaConf.load(CONF / "model" / f"{model}.yaml"))["defaults"]  # type: ignore[index, call-overload]
        if isinstance(default, dict)
        for entry, value in default.items()
    }
    for group in ("network", "norm", "loss", "optimizer"):
        assert node(config, group) == content(group, choices[group])
    assert node(config, "regularizer") == regularizers(choices.get("regularizer", []))


@cache
def alone(*overrides: str) -> Any:
    """Return the config of the files alone, without the main config, with interpolations unresolved."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose(overrides=list(overrides)), resolve=False)


def content(group: str, option: str) -> Any:
    """Return the contents of an option's file."""
    return alone(f"+{group}={option}")[group]


def regularizers(names: list[str]) -> dict[str, Any]:
    return {key: part for name in names for key, part in content("regularizer", name).items()}


def node(config: DictConfig, group: str) -> Any:
    found = config.get(group)
    plain = OmegaConf.to_container(found, resolve=False) if OmegaConf.is_config(found) else found
    return (plain or {}) if group == "regularizer" else plain


LISTS = [[], ["gradient_penalty"], ["weight_clipping"], ["weight_clipping", "gradient_penalty"]]
GROUPS = ("network", "norm", "loss", "optimizer", "features")


@pytest.mark.parametrize("model", options("model"))
def test_a_swapped_part_is_its_own_file_and_nothing_of_the_old_one_is_left(model: str) -> None:
    """All groups are changed at once. Each model gets 3 options of each group, and each option several models."""
    before = compose(f"model={model}")
    first = 3 * options("model").index(model)
    for turn in range(first, first + 3):
        chosen = {group: options(group)[turn % len(options(group))] for group in GROUPS}
        names = LISTS[turn % len(LISTS)]
        swapped = compose(
            f"model={model}", *(f"{g}={o}" for g, o in chosen.items()), f"regularizer=[{','.join(names)}]"
        )
        for group, option in chosen.items():
            assert node(swapped, group) == content(group, option), f"{group}={option} under {model}"
        assert node(swapped, "regularizer") == regularizers(names), f"regularizer={names} under {model}"
        for key in ("model", "batch_size", "budget", "data"):
            assert node(swapped, key) == node(before, key)


@pytest.mark.parametrize("group", GROUPS)
def test_a_swapped_part_changes_no_other_part(group: str) -> None:
    before = compose("model=wgan_gp")
    for option in options(group):
        swapped = compose("model=wgan_gp", f"{group}={option}")
        for other in {*GROUPS, "regularizer", "model", "batch_size"} - {group}:
            assert node(swapped, other) == node(before, other), f"{group}={option} changed {other}"


@pytest.mark.parametrize("model", options("model"))
def test_swapped_data_is_its_own_file(model: str) -> None:
    """Each model gets 3 data sets, and each data set several models."""
    for data in options("data")[options("model").index(model) % 4 :: 4]:
        config = compose(f"model={model}", f"data={data}")
        own = alone("+features=none", "+network=mlp", f"+data={data}")
        assert node(config, "data") == own["data"], f"{data} under {model}"
        assert config.budget.images == own["budget"]["images"]


def test_the_command_line_wins_over_model_and_data() -> None:
    config = compose(
        "model=wgan_gp",  # chooses network, norm, loss, regularizer, optimizer, batch_size
        "data=gaussians",  # chooses network=mlp, features=none and the budget
        "network=dcgan",
        "norm=layer",
        "loss=hinge",
        "regularizer=[weight_clipping]",
        "optimizer=dcgan_adam",
        "features=random",
        "batch_size=7",
        "model.latent_dim=3",
        "budget.images=5",
        "optimizer.generator.lr=1",
    )
    assert node(config, "network") == content("network", "dcgan")
    assert node(config, "norm") == content("norm", "layer")
    assert node(config, "loss") == content("loss", "hinge")
    assert node(config, "regularizer") == regularizers(["weight_clipping"])
    assert node(config, "features") == content("features", "random")
    assert config.optimizer.generator.lr == 1
    assert config.optimizer.discriminator.lr == content("optimizer", "dcgan_adam")["discriminator"]["lr"]
    assert (config.batch_size, config.model.latent_dim, config.budget.images) == (7, 3, 5)


def test_the_order_on_the_command_line_does_not_matter() -> None:
    some = ["network=resnet", "loss=hinge", "data=gaussians", "model=wgan_gp", "seed=3"]
    assert compose(*some) == compose(*reversed(some))


def test_norms_reach_whichever_network_is_chosen() -> None:
    """Data of points change the network of a model, but not its norms."""
    for network, (norm, spectral) in product(("mlp", "dcgan", "resnet"), [("spectral", True), ("layer", False)]):
        config = compose(f"network={network}", f"norm={norm}")
        build.fill(config, DIGITS)
        assert config.network.discriminator.spectral_norm is spectral
        expected = "none" if network == "mlp" else content("norm", norm)["discriminator"]  # see conf/network/mlp.yaml
        assert config.network.discriminator.norm == expected


def test_a_critic_of_patches_follows_the_group_norm() -> None:
    for overrides, expected in (([], "batch"), (["norm=none"], "none"), (["network.norm=instance"], "instance")):
        config = compose("model=patchgan", "data=mnist", *overrides)
        build.fill(config, DIGITS)
        assert config.network.discriminator.norm == expected


def test_what_cannot_work_together_is_refused_by_name() -> None:
    config = compose("regularizer=[gradient_penalty]", "data=mnist", "network.width=4")  # dcgan's critic has BatchNorm
    build.fill(config, DIGITS)
    with pytest.raises(UserError, match=r"^norm.discriminator: GradientPenalty .* batch normalization"):
        build.build_system(config)

    config = compose("network=dcgan", "conditioning=batchnorm", "regularizer=[path_length]", "network.width=4")
    build.fill(config, DIGITS)
    with pytest.raises(UserError, match=r"^conditioning.*: PathLength .*; choose another than batchnorm$"):
        build.build_system(config)


def test_an_experiment_wins_over_all_but_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /loss: hinge\nbatch_size: 9\nmodel: {latent_dim: 11}\n"
    )
    search = f"hydra.searchpath=[{tmp_path}]"
    config = compose(search, "experiment=mine", "model=wgan_gp", "data=mnist", "model.latent_dim=5")
    assert node(config, "loss") == content("loss", "hinge")
    assert (config.batch_size, config.model.latent_dim) == (9, 5)


def test_what_comes_from_the_environment_is_written_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADDLEPOINT_DATA", "a-folder-of-this-machine")
    config = compose("data=mnist", "network.width=4")
    build.fill(config, DIGITS)
    written = plain_config(config)
    assert "a-folder-of-this-machine" not in str(written)
    assert written["data"]["root"] == "${oc.env:SADDLEPOINT_DATA,data}"
    again = OmegaConf.create(written)
    assert again.data.source.root == "a-folder-of-this-machine"
    assert again.network.generator.shape == [1, 8, 8]


def test_automatic_precision_takes_no_emulated_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch reports bf16 as supported on GPUs that only emulate it, which is slower than float32."""
    images = DataInfo("images", (3, 32, 32), None, {"train": 8, "held_out": 2}, "")
    points = DataInfo("points", (2,), None, {"train": 8, "held_out": 2}, "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for hardware, expected in ((True, "bf16-mixed"), (False, "32-true")):
        supported = partial(lambda there, including_emulation=True: including_emulation or there, hardware)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
        assert lightning.precision("auto", "gpu", images) == expected
        assert lightning.precision("auto", "gpu", points) == "32-true"
        assert lightning.precision("16-mixed", "gpu", images) == "16-mixed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which can train in 16-mixed")
def test_16_mixed_is_refused_on_a_cpu(refuse: Any) -> None:
    """Lightning would train in bf16 and call it 16-mixed."""
    line = "trainer.precision: 16-mixed needs a CUDA GPU; choose auto, bf16-mixed or 32-true"
    assert refuse("train", "trainer.precision=16-mixed", "features=none") == line


def test_the_real_side_is_computed_where_training_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.device] = []
    monkeypatch.setattr(plan, "panel", lambda system, data, settings, extractor: seen.append(extractor.device))
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    nothing: Any = None
    plan.build_judge(compose("features=random"), nothing, nothing, trainer)
    assert seen == [torch.device("meta")]


def test_all_ranks_come_to_the_scores_of_points() -> None:
    """Only rank 0 computes them, but all ranks take part in collectives before that."""
    config = compose("data=gaussians")
    data, _ = build.build_data(config)
    system = build.build_system(config)
    first = panel(system, data, Settings(None, 0, None, None), None)
    assert first.monitor is not None
    assert first.judges
    assert assistants(system, data, None).judges
