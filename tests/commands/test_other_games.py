"""Models that are no GAN from latents, from training to files: each has its inputs, its scores and its exports."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from saddlepoint import trees
from saddlepoint.assembly.restore import restore
from saddlepoint.data.images import NAMES
from saddlepoint.export import export
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.capabilities import Encodes, Generates, Translates
from saddlepoint.writing import read_json_lines

ON_PAIRS = ("data=paired_folder", "data.root=pairs", "data.image_size=8")
ON_DOMAINS = ("data=unpaired_folder", "data.root=domains", "data.image_size=8")
DATA = {"pix2pix": ON_PAIRS, "cyclegan": ON_DOMAINS}
SHORT = ("batch_size=8", "budget.images=16", "features=none", "logger=none", "callbacks.samples.n=6", "run.dir=run")


def draw_inputs(folder: Path, shape: tuple[int, ...], n: int = 3) -> np.ndarray[Any, Any]:
    """Write random images as PNGs, and return them, uint8 [N, ...]."""
    images = np.random.default_rng(1).integers(0, 256, (n, *shape), dtype=np.uint8)
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return images


WITHOUT_READING = (
    *("infogan", "lapgan", "gran", "progan", "stylegan2", "gansformer", "transgan", "vitgan"),
    *("pixelcnn", "row_lstm", "diagonal_bilstm", "sagan", "biggan", "r3gan", "patchgan"),
)
"""Models that neither translate nor reconstruct images."""


def test_samples_and_images_come_from_the_checkpoint_alone(invoke: Any, other_game: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.ckpt").write_bytes((other_game / "checkpoints" / "last.ckpt").read_bytes())
    restored = restore(tmp_path / "mine.ckpt", "cpu")
    system: Any = restored.system
    expected: dict[tuple[str, ...], torch.Tensor] = {}
    if isinstance(system, Generates):
        expected["n=5",] = system.sample(5, seed=0)
    shape = (8, 8) if restored.info.shape[0] == 1 else (8, 8, 3)
    images = torch.from_numpy(draw_inputs(tmp_path / "in", shape)).reshape(3, 8, 8, -1).permute(0, 3, 1, 2)
    inputs = images.float() / 127.5 - 1
    if isinstance(system, Encodes):
        expected["inputs=in",] = system.decode(system.encode(inputs))
    if isinstance(system, Translates):
        for direction in system.directions:
            expected["inputs=in", f"direction={direction}"] = system.translate(inputs, direction)
    assert len(expected) == (1 if other_game.name in (*WITHOUT_READING, "pix2pix") else 2)
    for number, (arguments, samples) in enumerate(expected.items()):
        outcome = invoke("sample", "checkpoint=mine.ckpt", *arguments, f"out={number}", "format=[npz]")
        assert outcome.code == 0, outcome.err
        found = np.load(tmp_path / str(number) / "samples.npz")["images"].astype(int)
        difference = np.abs(found - quantise(samples).permute(0, 2, 3, 1).numpy())
        assert difference.max() <= 1, arguments


JUDGED = {
    "vae": {"fid_random", "reconstruction_psnr", "reconstruction_features", "nearest_neighbour_accuracy"},
    "infogan": {"fid_random", "code_accuracy"},
    **{name: {"fid_random", "nll", "bits_per_dim"} for name in ("pixelcnn", "row_lstm", "diagonal_bilstm")},
    "bigan": {"fid_random", "reconstruction_l1", "reconstruction_features", "nearest_neighbour_accuracy"},
    "aae": {"fid_random", "reconstruction_l1", "code_accuracy", "nearest_neighbour_accuracy", "code_energy_distance"},
    "vaegan": {"fid_random", "reconstruction_l1", "reconstruction_features", "nearest_neighbour_accuracy"},
    **{name: {"fid_random"} for name in ("sagan", "biggan", "r3gan", "patchgan")},
    "lapgan": {"fid_random"},
    "gran": {"fid_random"},
    "progan": {"fid_random"},
    "stylegan2": {"fid_random"},
    "transgan": {"fid_random"},
    "vitgan": {"fid_random"},
    "gansformer": {"fid_random"},
    "pix2pix": {"fid_random", "l1", "psnr"},
    "cyclegan": {"fid_random_a_to_b", "fid_random_b_to_a"},
}


def test_evaluate_gives_the_scores_of_the_run_by_the_same_judges(invoke: Any, other_game: Path, tmp_path: Path) -> None:
    data = [part.replace("root=", f"root={other_game.parent}/") for part in DATA.get(other_game.name, ("data=digits",))]
    checkpoint = f"checkpoint={other_game / 'checkpoints' / 'last.ckpt'}"
    outcome = invoke("evaluate", checkpoint, *data, "features=random", "n=8", "splits=1", "out=cards.jsonl")
    assert outcome.code == 0, outcome.err
    cards = {row["metric"]: row["value"] for row in read_json_lines(tmp_path / "cards.jsonl")}
    end = {row["metric"]: row["value"] for row in read_json_lines(other_game / "scores.jsonl") if row["images_seen"]}
    assert cards.keys() == end.keys() >= JUDGED[other_game.name]
    assert cards == pytest.approx(end, rel=1e-4, abs=1e-6, nan_ok=True)


@pytest.mark.slow
def test_exports_hold_the_networks(invoke: Any, other_game: Path, tmp_path: Path) -> None:
    """Weights, what it takes to build each network, and a graph that computes what PyTorch does.

    The Diagonal BiLSTM has no graph, since its recurrence would be unrolled.
    """
    checkpoint = other_game / "checkpoints" / "last.ckpt"
    outcome = invoke("sample", f"checkpoint={checkpoint}", "export=out")
    assert outcome.code == 0, outcome.err
    exports = restore(checkpoint, "cpu").system.exports()
    kinds = ["json", "safetensors"] if other_game.name == "diagonal_bilstm" else ["json", "onnx", "safetensors"]
    names = {f"{name}.{kind}" for name in exports for kind in kinds}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    for name, exported in exports.items():
        own, about = exported.network.state_dict(), json.loads((tmp_path / "out" / f"{name}.json").read_text())
        weights = load_file(tmp_path / "out" / f"{name}.safetensors")
        assert weights.keys() == own.keys()
        assert all(torch.equal(weights[key], own[key]) for key in own)
        assert about["inputs"] == {key: list(value.shape[1:]) for key, value in exported.inputs.items()}
        network = export.load(tmp_path / "out", name=name).network
        given = {
            key: (torch.rand(3, *value.shape[1:]) * 2 - 1).to(value.dtype) for key, value in exported.inputs.items()
        }
        if "onnx" not in kinds:
            assert "no decoder.onnx: the recurrence over diagonals would be unrolled" in outcome.err
            continue
        session = onnxruntime.InferenceSession((tmp_path / "out" / f"{name}.onnx").read_bytes())
        found = session.run(None, {key: value.numpy() for key, value in given.items()})
        with torch.no_grad():
            expected = trees.leaves(network(**given))
        for ours, theirs in zip(found, expected, strict=False):
            if name != "generator" or other_game.name != "pix2pix":  # whose dropout draws
                np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


OTHERS = (
    "infogan",
    "bigan",
    "aae",
    "vaegan",
    "lapgan",
    "gran",
    "progan",
    "stylegan2",
    "transgan",
    "vitgan",
    "gansformer",
    "pix2pix",
    "cyclegan",
    "row_lstm",
    "diagonal_bilstm",
)


@pytest.mark.parametrize(
    "model",
    ["vae", "pixelcnn", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)],
)
def test_losses_in_bf16_are_finite(invoke: Any, drawn: None, other_games: Any, model: str, tmp_path: Path) -> None:
    options = (*other_games[model], *SHORT, "callbacks.history.every_rounds=1", "trainer.precision=bf16-mixed")
    outcome = invoke("train", f"model={model}", *options)
    assert outcome.code == 0, outcome.err
    rows = read_json_lines(tmp_path / "run" / "history.jsonl")
    losses = [value for row in rows for key, value in row.items() if key.endswith("/loss")]
    assert len(losses) >= 2
    assert all(math.isfinite(value) for value in losses)


MISTAKES = {
    "model=pix2pix data=digits": "data: model=pix2pix trains on pairs of images, and data=digits has images; choose",
    "model=cyclegan data=paired_folder data.root=pairs data.image_size=8": "choose unpaired_folder or unpaired_mnist",
    "model=dcgan data=unpaired_folder data.root=domains data.image_size=8": "has unpaired images of two domains",
    "model=vae data=paired_folder data.root=pairs data.image_size=8": "model=vae trains on images or points, and",
    "model=pix2pix": "model=pix2pix trains on pairs of images",
    "model=vae conditioning=concat": "conditioning: no part of this run uses conditioning.generator or",
    "model=infogan conditioning=projection": "conditioning: no part of this run uses conditioning.generator or",
    "model=bigan norm=layer": "norm: no part of this run uses norm.discriminator",
    "model=vae loss=hinge": "loss: VAE takes no loss; leave loss out",
    "model=vae augment=[diffaugment]": "augment: VAE takes no augment; leave augment out",
    "model=vae regularizer=[r1]": "regularizer.r1.player: there is no player 'discriminator'; choose from autoencoder",
    "model=pixelcnn network.likelihood=bernoulli": "network.likelihood: bernoulli is for images of black",
    "model=pixelcnn loss=hinge": "loss: Autoregressive takes no loss; leave loss out",
    "model=row_lstm data=gaussians": "data: model=row_lstm trains on images, and data=gaussians has points;",
    "model=aae augment=[diffaugment]": "augment: an adversarial autoencoder's critic judges codes, not images",
    "model=aae network=vaegan": "network.encoder: AAE needs a deterministic encoder; choose network aae",
    "model=dcgan network=lapgan": "network.discriminator: LAPGANDiscriminator has no forward pass of its own; choose",
    "network.generator.latent_dim=5": "model.latent_dim: the generator takes latents of dimension 5, got 100; set it",
    "model=aae model.prior=swiss_roll": "model.latent_dim: prior 'swiss_roll' has two dimensions, got 8; set it to 2",
    "model=aae model.labels=some": "model.labels: input should be 'none', 'prior' or 'semi', got 'some'",
    "model=aae model.labels=prior": "model.labels: 'prior' requires a prior with one part for each class",
    "model=aae model.labelled=50": "model.labelled: labels are not used; leave it out, or set labels to prior or semi",
    "model=aae model.labels=semi model.labelled=9": "model.labelled: needs at least one sample of each of the 10",
    "model=aae model.labels=semi model.labelled=1472": "model.labelled: 1472 labels require 148 samples of class",
    "model=vaegan augment=[diffaugment]": "augment: VAEGAN does not support augments, since it compares the",
    "model=vaegan loss=mmd": "loss: the discriminator's features measure reconstructions; choose a loss of logits",
    "model=vaegan loss=top_k": "loss: TopK changes only the loss of a 'generator', which VAEGAN lacks; choose",
    "model=aae loss=top_k": "loss: TopK changes only the loss of a 'generator', which AAE lacks; choose the loss",
    "model=lapgan augment=[diffaugment]": "augment: LAPGAN takes no augment; leave augment out",
    "model=lapgan network=dcgan": "network: this choice needs model.latent_dim, which the model does not have; choose",
    "model=lapgan network.levels=4": "network.levels: the coarsest of 4 levels of 8x8 px has a side of less than 2 px",
    "model=lapgan network.discriminator.levels=2": "network: there are 3 levels of the generator, and 2 of the",
    "model=lapgan conditioning=projection": "conditioning.generator: input should be 'none' or 'concat'",
    "model=lapgan conditioning.generator=concat": "conditioning.discriminator: the generator is conditioned on labels",
    "model=lapgan loss=ragan": "loss: LAPGAN needs a loss of single samples, and RelativisticAverage compares",
    "model=lapgan loss=ebgan": "loss: EBGAN needs a discriminator that returns energies, and DiscriminatorLevel",
    "model=lapgan regularizer=[r1]": "regularizer.r1.player: there is no player 'discriminator'; did you mean",
    "model=lapgan optimizer=vae_adam": "optimizer.discriminator_2: LAPGAN needs an optimizer for its player",
    "model=stylegan2 network=dcgan": "network.generator: StyleGAN2 needs a generator with styles; choose",
    "model=stylegan2 conditioning=concat": "conditioning.discriminator: input should be 'none' or 'projection'",
    "model=progan network=dcgan": "network.generator: ProGAN needs a generator that grows; choose network progan",
    "model=progan conditioning=auxiliary": "conditioning.discriminator: the discriminator's auxiliary classifier",
    "model=progan data=gaussians": "data: model=progan trains on images, and data=gaussians has points;",
    "model=lapgan data=gaussians": "data: model=lapgan trains on images, and data=gaussians has points;",
    "model=gran network=dcgan": "network.generator: GRAN needs a generator that draws in several steps",
    "model=gran network.generator.noise=per_step model.latent_dim=9": "model.latent_dim: must be a multiple of the 5",
    "model=transgan network.generator.width=6": "network.generator.width: 1 stages with 4 heads need a multiple of 4",
    "model=gansformer network=stylegan2": "network.generator: GANsformer needs a generator with local latents",
    "model=gansformer model.latent_dim=512": "model.latent_dim: must be a multiple of 17 for 16 local latents",
    "model=gansformer network.mapping_layers=3": "network.mapping_layers: must be even, got 3; set it to 4",
    "model=vitgan network.heads=5": "network.heads: 5 heads do not divide a width of 384; choose a divisor",
    "model=vitgan conditioning=concat": "conditioning: no part of this run uses conditioning.generator or",
    "model=infogan regularizer=[r1]": "regularizer.r1: R1 penalizes gradients of single samples",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_what_does_not_go_together(refuse: Callable[..., str], drawn: None, arguments: str) -> None:
    assert MISTAKES[arguments] in refuse("train", *arguments.split(" "), *SHORT)


def test_a_folder_of_a_pair_that_is_missing(refuse: Callable[..., str], drawn: None, tmp_path: Path) -> None:
    (tmp_path / "domains" / "trainB").rename(tmp_path / "elsewhere")
    fields = [f"network.discriminator_{domain}.receptive_field=1" for domain in "ab"]
    line = refuse("train", "model=cyclegan", *ON_DOMAINS, *fields, *SHORT)
    assert line.startswith("data.root: ")
    assert "trainB" in line


@pytest.fixture
def broken(tmp_path: Path) -> None:
    """Inputs of all kinds that are none of the model's."""
    draw_inputs(tmp_path / "in", (8, 8, 3))
    draw_inputs(tmp_path / "large", (12, 10, 3))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "0.png").write_text("hello")


INPUTS = {
    "inputs=empty": "inputs: empty: no images inside",
    "inputs=nowhere": "inputs: nowhere: no such folder or zip file",
    "inputs=text": f"text: 0.png: corrupt image (not a {NAMES}); replace or remove the file",
    "inputs=large fit=pad": "fit: large: 0.png: 12x10 does not fit into 8x8 by padding; set crop or resize",
    "inputs=in labels=all": "labels: does not apply to inputs=PATH; leave it out",
    "inputs=in truncation=0.5": "truncation: does not apply to inputs=PATH; leave it out",
}
TRANSLATORS = ("pix2pix", "cyclegan")


def test_inputs_that_cannot_be_used(
    refuse: Callable[..., str], invoke: Any, broken: None, other_game: Path, tmp_path: Path
) -> None:
    checkpoint = f"checkpoint={other_game / 'checkpoints' / 'last.ckpt'}"
    cases = dict(INPUTS) if other_game.name not in WITHOUT_READING else {}
    if other_game.name in TRANSLATORS:
        cases["inputs=in direction=c_to_d"] = "direction: there is no direction 'c_to_d'; "
        cases["n=4"] = "does not generate samples from noise; set it to the path of images"
    else:
        cases["direction=a_to_b"] = "direction: applies only to inputs=PATH; add inputs=PATH"
    if other_game.name in WITHOUT_READING:
        cases["inputs=in"] = f"inputs: model={other_game.name} neither translates nor reconstructs images; leave it out"
    if other_game.name == "infogan":
        cases["truncation=0.5"] = "truncation: InfoGAN's latents hold codes, which cannot be truncated; set it to 1"
    for arguments, line in cases.items():
        assert line in refuse("sample", checkpoint, *arguments.split(" "), "out=new"), arguments


def test_inputs_of_another_size_or_in_gray_are_brought_to_the_models(
    invoke: Any, other_game: Path, tmp_path: Path
) -> None:
    if other_game.name not in TRANSLATORS:
        pytest.skip("not a translator")
    gray = draw_inputs(tmp_path / "gray", (8, 8))
    draw_inputs(tmp_path / "large", (12, 10, 3))
    checkpoint = f"checkpoint={other_game / 'checkpoints' / 'last.ckpt'}"
    for folder, fit in (("gray", "crop"), ("large", "resize")):
        outcome = invoke("sample", checkpoint, f"inputs={folder}", f"fit={fit}", f"out=of_{folder}", "format=[npz]")
        assert outcome.code == 0, outcome.err
        seen = np.load(tmp_path / f"of_{folder}" / "samples.npz")
        assert seen["images"].shape == seen["inputs"].shape == (3, 8, 8, 3)
    shown = np.load(tmp_path / "of_gray" / "samples.npz")["inputs"]
    assert (shown == gray[..., None]).all()
