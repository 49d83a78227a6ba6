"""Builds every model on data of every kind, without files."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from saddlepoint.assembly import build
from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import options
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import Encodes, Generates, Translates
from saddlepoint.types import DataInfo


def compose(*overrides: str) -> DictConfig:
    return compose_config("train", overrides)


def info(shape: tuple[int, ...], classes: int = 0, **more: Any) -> DataInfo:
    names = tuple(map(str, range(classes))) or None
    return DataInfo("stub", shape, names, {"train": 100, "held_out": 10}, "0" * 32, **more)


PAIRS = info((3, 32, 32), columns={"inputs": (1, 32, 32), "targets": (3, 32, 32)})
DATA = {
    "digits": info((1, 8, 8), 10),
    "mnist": info((1, 32, 32), 10),
    "fashion_mnist": info((1, 32, 32), 10),
    "binarised_mnist": info((1, 28, 28), 10),
    "cifar10": info((3, 32, 32), 10),
    "stacked_mnist": info((3, 32, 32), 1000),
    "image_folder": info((3, 64, 64)),
    "webdataset": info((3, 64, 64)),
    "huggingface": info((3, 64, 64)),
    "torchvision": info((3, 64, 64)),
    "kmnist": info((1, 32, 32), 10),
    "emnist": info((1, 32, 32), 47),
    "cifar100": info((3, 32, 32), 100),
    "svhn": info((3, 32, 32), 10),
    "stl10": info((3, 48, 48)),
    "celeba": info((3, 64, 64)),
    "omniglot": info((1, 32, 32)),
    "flowers": info((3, 64, 64), 102),
    "tiny_imagenet": info((3, 64, 64)),
    "imagenet": info((3, 128, 128), 1000),
    "ffhq": info((3, 128, 128)),
    "afhq": info((3, 128, 128), 3),
    "lsun": info((3, 64, 64)),
    "gaussians": info((2,)),
    "facades": PAIRS,
    "paired_folder": PAIRS,
    "unpaired_folder": info((3, 32, 32), columns={"a": (1, 32, 32), "b": (3, 32, 32)}, aligned=False),
    "unpaired_mnist": info((1, 32, 32), 10, columns={"a": (1, 32, 32), "b": (1, 32, 32)}),
}
ROOT = {data: ["data.root=somewhere"] for data in ("image_folder", "paired_folder", "webdataset", "huggingface")}
ROOT["torchvision"] = ["data.name=food101"]


def test_the_data_are_complete() -> None:
    assert options("data") == sorted(DATA)


NO_LABELS = tuple(data for data, about in DATA.items() if not about.num_classes and not about.columns)
REFUSED = {
    ("infogan", "gaussians"): "needs a network 'recognition'",
    ("r3gan", "gaussians"): "RandomTransformations transforms images, and the data are points",
    ("transgan", "gaussians"): "DiffAugment transforms images",
    ("vitgan", "gaussians"): "BCR shifts and flips images",
    **dict.fromkeys([(model, "gaussians") for model in ("bigan", "aae", "vaegan")], "needs a network '.*encoder'"),
    **{
        (model, data): "needs labels, and the data has none"
        for model in ("acgan", "biggan", "cgan", "msgan", "projgan", "sagan")
        for data in NO_LABELS
    },
}
"""Models that cannot be trained on some data of a supported kind, with the error."""

ON_POINTS = {
    "began": (["network=autoencoder"], "autoencoder"),
    "ebgan": (["network=autoencoder"], "autoencoder"),
    "vae": (["network=vae", "model.likelihood=gaussian"], "needs a network 'encoder'"),
}
"""Models that cannot use ``network=mlp``, the default for points: what to choose, and the error without it."""


def small(config: DictConfig) -> None:
    """Make the networks small, since only shapes are checked."""
    for node in (config.network, *config.network.values()):
        for key in {"width", "units", "hidden", "output_features"} & set(node if OmegaConf.is_dict(node) else ()):
            if not OmegaConf.is_interpolation(node, key) and isinstance(node[key], int):
                node[key] = 4
        if OmegaConf.is_dict(node) and "heads" in node and not OmegaConf.is_interpolation(node, "heads"):
            node.heads = 1
        if OmegaConf.is_dict(node) and "depths" in node:
            node.width = 4**4  # it is divided by four in each stage


AUTOREGRESSIVE = ("pixelcnn", "row_lstm", "diagonal_bilstm")
"""Models that generate one pixel at a time; samples of more than 32 px would take minutes."""

OF_IMAGES = ("pixelcnn", "row_lstm", "diagonal_bilstm", "lapgan", "gran", "progan", "stylegan2", "gansformer")
"""Models that are trained on images and not on points."""

IN_CI = ("digits", "mnist", "gaussians", "facades", "unpaired_mnist")
"""Data sets of each kind; the others are slow tests."""


@pytest.mark.parametrize(
    "data", [name if name in IN_CI else pytest.param(name, marks=pytest.mark.slow) for name in DATA]
)
@pytest.mark.parametrize("model", options("model"))
def test_every_model_builds_on_every_data_set_of_its_kind(model: str, data: str) -> None:
    overrides = [f"model={model}", f"data={data}", *ROOT.get(data, [])]
    config, about = compose(*overrides), DATA[data]
    small(config)
    check_schema(config, TrainConfig)
    build.fill(config, about)
    kind = "pix2pix" if about.columns and "inputs" in about.columns else "cyclegan" if about.columns else ""
    if ((model in ("pix2pix", "cyclegan") or kind) and model != kind) or (model in OF_IMAGES and data == "gaussians"):
        with pytest.raises(UserError, match=rf"^data: model={model} trains on .*, and data={data} has "):
            build.check_data_kind(config, about, {"model": model, "data": data})
        return
    build.check_data_kind(config, about, {"model": model, "data": data})
    if data == "gaussians" and model in ON_POINTS:
        chosen, why = ON_POINTS[model]
        with pytest.raises(UserError, match=why):
            build.build_system(config)
        composed = compose(*overrides, *chosen)
        config.network, config.model = composed.network, composed.model
        small(config)
    if (model, data) in REFUSED:
        with pytest.raises(UserError, match=REFUSED[model, data]):
            build.build_system(config)
        return
    system = build.build_system(config)
    assert set(system.regularizers) == set(config.get("regularizer") or {})
    can = [able for able in (Generates, Encodes, Translates) if isinstance(system, able)]
    assert can
    if Generates in can and not (model in AUTOREGRESSIVE and max(about.shape) > 32):
        samples = system.sample(3, seed=0, ema=False)
        check_samples(samples, about)
    if Encodes in can:
        check_samples(system.decode(system.encode(torch.zeros(3, *about.shape), ema=False), ema=False), about)
    if Translates in can:
        assert about.columns is not None
        for name, (source, target) in system.directions.items():
            images = system.translate(torch.zeros(3, *about.columns[source]), name, ema=False)
            assert images.shape == (3, *about.columns[target])
    if can == [Generates] and model not in OF_IMAGES:
        judged = system.networks["discriminator"](
            torch.zeros(4, *about.shape), torch.arange(4) % max(about.num_classes, 1)
        )
        judgements = 4 // config.minibatch.packing
        assert judged.logits.shape[0] == judgements
        assert judged.logits.dim() == (4 if model == "patchgan" and about.is_image else 1)
        assert judged.features.shape[0] == judgements
        assert judged.logits.isfinite().all()


def check_samples(samples: torch.Tensor, about: DataInfo) -> None:
    assert samples.shape == (3, *about.shape)
    assert samples.isfinite().all()
    if about.is_image:
        assert samples.abs().max() <= 1
