"""Every model on every data set; every part under every model, whole and alone."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from saddlepoint.commands import build, scoring
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.composition import check_overrides, compose_config
from saddlepoint.commands.main import config_directory
from saddlepoint.commands.schema import TrainConfig
from saddlepoint.commands.train import plain_config
from saddlepoint.errors import UserError
from saddlepoint.types import DataInfo

CONF = config_directory()


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def compose(*overrides: str) -> DictConfig:
    return compose_config("train", overrides, str(CONF))


def info(shape: tuple[int, ...], classes: int = 0) -> DataInfo:
    names = tuple(map(str, range(classes))) or None
    return DataInfo("stub", shape, names, {"train": 100, "held_out": 10}, "0" * 32)


DATA = {
    "digits": info((1, 8, 8), 10),
    "mnist": info((1, 32, 32), 10),
    "fashion_mnist": info((1, 32, 32), 10),
    "cifar10": info((3, 32, 32), 10),
    "stacked_mnist": info((3, 32, 32), 1000),
    "image_folder": info((3, 64, 64)),
    "gaussians": info((2,)),
}


def test_the_lists_are_complete() -> None:
    assert options("model") == [
        "acgan",
        "began",
        "cgan",
        "dcgan",
        "dragan",
        "ebgan",
        "fgan",
        "gan",
        "lsgan",
        "mmdgan",
        "msgan",
        "pacgan",
        "projgan",
        "ragan",
        "rgan",
        "rpgan",
        "sngan",
        "unrolled",
        "wgan",
        "wgan_gp",
    ]
    assert options("data") == sorted(DATA)


@pytest.mark.parametrize(("model", "data"), list(product(options("model"), DATA)))
def test_every_model_builds_on_every_data_set(model: str, data: str) -> None:
    overrides = [f"model={model}", f"data={data}"]
    config = compose(*overrides, *(["data.root=somewhere"] if data == "image_folder" else []))
    if "width" in config.network:
        config.network.width = 4
    if "width" in config.network.generator:
        config.network.generator.width = 4
    check_schema(config, TrainConfig)
    build.fill(config, DATA[data])
    if data == "gaussians" and model in ("began", "ebgan"):  # the data's MLP gives scores, not energies
        with pytest.raises(UserError, match="take network=autoencoder"):
            build.build_system(config)
        config.network = compose(*overrides, "network=autoencoder", "network.width=4").network
    if "none" not in set(config.conditioning.values()) and not DATA[data].num_classes:
        with pytest.raises(UserError, match="needs labels, and this data has none"):
            build.build_system(config)
        return
    system = build.build_system(config)

    latents = torch.randn(4, config.model.latent_dim)
    labels = torch.arange(4)
    samples = system.networks["generator"](latents, labels)
    assert samples.shape == (4, *DATA[data].shape)
    assert samples.isfinite().all()
    if DATA[data].is_image:
        assert samples.abs().max() <= 1
    judged = system.networks["discriminator"](samples, labels)
    judgements = 4 // config.minibatch.packing
    assert judged.logits.shape == (judgements,)
    assert judged.features.shape[0] == judgements
    assert judged.logits.isfinite().all()
    assert set(system.regularizers) == set(config.get("regularizer") or {})


@pytest.mark.parametrize("model", options("model"))
def test_a_model_chooses_parts_and_sets_none_of_their_values(model: str) -> None:
    config = compose(f"model={model}")
    choices = {
        entry.split("/")[-1]: value
        for default in OmegaConf.to_container(OmegaConf.load(CONF / "model" / f"{model}.yaml"))["defaults"]  # type: ignore[index, call-overload]
        for entry, value in default.items()
    }
    for group in ("network", "norm", "loss", "optimizer"):
        assert node(config, group) == content(group, choices[group])
    assert node(config, "regularizer") == regularizers(choices.get("regularizer", []))


def content(group: str, option: str) -> Any:
    """What an option's own file says, interpolations as they stand."""
    plain: Any = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"), resolve=False)
    if group == "loss":  # one loss may hold another
        for inner in plain.pop("defaults", []):
            ((place, choice),) = inner.items()
            plain[place.partition("@")[2]] = content("loss", choice)
    return plain["features"] if (group, option) == ("features", "none") else plain


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
    """Every option of every group, as many groups at a time as there are: 5 compositions a model instead of 25."""
    before = compose(f"model={model}")
    for turn in range(max(len(options(group)) for group in GROUPS)):
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
    for data in DATA:
        config = compose(f"model={model}", f"data={data}")
        own: Any = OmegaConf.to_container(OmegaConf.load(CONF / "data" / f"{data}.yaml"), resolve=False)
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
    """Points swap the network of a model, but not what the method says of norms."""
    for network, (norm, spectral) in product(("mlp", "dcgan", "resnet"), [("spectral", True), ("layer", False)]):
        config = compose(f"network={network}", f"norm={norm}")
        build.fill(config, DATA["digits"])
        assert config.network.discriminator.spectral_norm is spectral
        expected = "none" if network == "mlp" else content("norm", norm)["discriminator"]  # see conf/network/mlp.yaml
        assert config.network.discriminator.norm == expected


def test_what_cannot_work_together_is_refused_by_name() -> None:
    config = compose("regularizer=[gradient_penalty]", "data=mnist", "network.width=4")  # dcgan's critic has BatchNorm
    build.fill(config, DATA["mnist"])
    with pytest.raises(UserError, match=r"gradient penalty .* batch normalisation.*norm=layer"):
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


@pytest.mark.parametrize(
    "sweep",
    [
        ["model=dcgan,wgan_gp", "seed=0,1"],
        ["seed=range(0,3)", "loss=glob(*)"],
        ["regularizer=[gradient_penalty],[weight_clipping,gradient_penalty],[]"],
        ["model=wgan_gp", "regularizer.gradient_penalty.weight=1,10"],
        ["data=image_folder", "data.root=somewhere", "seed=0,1"],
        ["data=gaussians", "data.layout=ring,grid"],
        ["+optimizer.generator.weight_decay=0.0,0.1", "++seed=1,2"],
    ],
    ids=" ".join,
)
def test_a_sweep_that_composes_passes(sweep: list[str]) -> None:
    check_overrides("train", ["-m", *sweep])


@pytest.mark.parametrize(
    ("sweep", "named"),
    [
        (["model=dcgan,dcgna"], "unknown model 'dcgna'; did you mean 'dcgan'"),
        (["seed=0,1", "regularizer=[],[gradient_penality]"], "unknown regularizer 'gradient_penality'"),
        (["seed=0,1", "btach_size=3"], "unknown key 'btach_size'; did you mean 'batch_size'"),
        (["seed=0,1", "loss=[hinge"], "cannot read the command line"),
        (["regularizer.gradient_penalty.weight=1,10"], "unknown key 'regularizer.gradient_penalty.weight'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_sweep_with_a_mistake_in_its_last_job_ends_before_its_first(sweep: list[str], named: str) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides("train", ["--multirun", *sweep])
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_comes_from_the_environment_is_written_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADDLEPOINT_DATA", "a-folder-of-this-machine")
    config = compose("data=mnist", "network.width=4")
    build.fill(config, DATA["mnist"])
    written = plain_config(config)
    assert "a-folder-of-this-machine" not in str(written)
    assert written["data"]["root"] == "${oc.env:SADDLEPOINT_DATA,data}"
    again = OmegaConf.create(written)
    assert again.data.source.root == "a-folder-of-this-machine"
    assert again.network.generator.shape == [1, 32, 32]


def test_automatic_precision_takes_no_emulated_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch says that a GPU without bf16 supports it, by emulation, which is slower than float32."""
    images = DataInfo("images", (3, 32, 32), None, {"train": 8, "held_out": 2}, "")
    points = DataInfo("points", (2,), None, {"train": 8, "held_out": 2}, "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for hardware, expected in ((True, "bf16-mixed"), (False, "32-true")):
        supported = partial(lambda there, including_emulation=True: including_emulation or there, hardware)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
        assert build.precision("auto", "gpu", images) == expected
        assert build.precision("auto", "gpu", points) == "32-true"
        assert build.precision("16-mixed", "gpu", images) == "16-mixed"


def test_the_real_side_is_computed_where_training_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.device] = []
    monkeypatch.setattr(scoring, "image_scorer", lambda extractor, *_: seen.append(extractor.device))
    images, device = DataInfo("images", (3, 32, 32), None, {"train": 8, "held_out": 2}, ""), torch.device("meta")
    scoring.build_scorer(compose("features=random"), None, images, device)  # type: ignore[arg-type]
    assert seen == [device]


def test_all_ranks_come_to_the_scores_of_points() -> None:
    """Rank 0 computes them alone, but before them all ranks speak with one another."""
    config = compose("data=gaussians")
    data, info = build.build_data(config)
    first = scoring.build_scorer(config, data, info, torch.device("cpu"))
    assert first.monitor is not None
    assert scoring.build_assistant(config, info).monitor == first.monitor
