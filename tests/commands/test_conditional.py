"""Conditional and unrolled models: training, resuming, scoring and sampling by class with the commands."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.assembly.restore import restore
from saddlepoint.metrics.quantise import quantise
from saddlepoint.tracking import pictures

SMALL = ("network.width=4", "batch_size=32", "callbacks.samples.n=20", "callbacks.scores.n=64")


@pytest.fixture
def run(invoke: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that trains a run and returns its folder."""

    def train(name: str, *arguments: str) -> Path:
        outcome = invoke("train", *arguments, f"run.dir={name}")
        assert outcome.code == 0, outcome.err
        return tmp_path / name

    return train


def cards(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return restore(folder / "checkpoints" / "last.ckpt", "cpu").system.state_dict()


def test_a_conditional_model_is_trained_scored_and_sampled_by_class(
    run: Callable[..., Path], invoke: Any, tmp_path: Path
) -> None:
    folder = run("acgan", "model=acgan", *SMALL, "budget.images=96")
    agreement = [card for card in cards(folder) if card["metric"] == "class_agreement_classifier"]
    assert {card["labels"] for card in cards(folder)} == {"train"}
    assert [card["images_seen"] for card in agreement] == sorted({card["images_seen"] for card in cards(folder)})
    assert agreement[0]["real"] > 0.9
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert any("discriminator/auxiliary_classifier" in row for row in rows)
    assert any("generator/auxiliary_classifier_generator" in row for row in rows)

    restored = restore(folder / "checkpoints" / "last.ckpt", "cpu")
    system, checkpoint = restored.system, f"checkpoint={folder}/checkpoints/last.ckpt"
    shares = system.label_shares.numpy()
    assert shares.sum() == pytest.approx(1)
    assert len(set(shares.tolist())) > 1  # the digits are not quite balanced

    picture = np.asarray(Image.open(max((folder / "samples").glob("*.png"))))  # 20 samples: 4 rows
    assert (picture == np.asarray(pictures.grid(quantise(system.sample_classes(range(4), 5, seed=0)), 5))).all()

    assert invoke("sample", checkpoint, "labels=[7,'3']", "n=9", "out=rows", "format=[npz,grid]").code == 0
    arrays = np.load(tmp_path / "rows" / "samples.npz")
    assert arrays["labels"].tolist() == [7] * 4 + [3] * 4
    expected = quantise(system.sample_classes([7, 3], 4, seed=0)).permute(0, 2, 3, 1)
    assert (arrays["images"] == expected.numpy()).all()

    assert invoke("sample", checkpoint, "labels=0", "n=9", "out=zero", "format=[npz]").code == 0
    assert np.load(tmp_path / "zero" / "samples.npz")["labels"].tolist() == [0] * 9

    assert invoke("sample", checkpoint, "n=30", "out=drawn", "format=[npz]").code == 0
    drawn = np.load(tmp_path / "drawn" / "samples.npz")["labels"]
    assert drawn.tolist() == system.draw_sample_labels(0, 0, 30).tolist()

    asked = ("metrics=[class_agreement]", "n=30", "out=alone.jsonl")
    assert invoke("evaluate", checkpoint, *asked).code == 0
    assert invoke("evaluate", "samples=drawn/samples.npz", "data=digits", *asked).code == 0
    alone, of_file = map(json.loads, (tmp_path / "alone.jsonl").read_text().splitlines())
    assert of_file["value"] == alone["value"]

    for wrong, line in {
        "labels=[10]": "labels: there is no class 10; choose from 0 to 9",
        "labels=[ten]": "labels: there is no class 'ten'",
    }.items():
        outcome = invoke("sample", checkpoint, wrong, "out=wrong")
        assert outcome.code == 2
        assert line in outcome.err

    out = tmp_path / "again.jsonl"
    assert invoke("evaluate", checkpoint, f"out={out}").code == 0
    again = {card["metric"]: card["value"] for card in map(json.loads, out.read_text().splitlines())}
    assert again["class_agreement_classifier"] == agreement[-1]["value"]


def test_a_conditional_model_of_arrays_like_those_of_medmnist(invoke: Any, tmp_path: Path) -> None:
    """The command is that of docs/data.md, but for the sizes."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, n in (("train", 60), ("val", 20), ("test", 20)):
        arrays[f"{split}_images"] = random.integers(0, 256, (n, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(n)[:, None] % 8
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    documented = (
        "data=image_folder",
        "data.root=bloodmnist.npz",
        "data.image_size=null",
        "model=cgan",
        "network=dcgan",
    )
    small = ("network.width=4", "batch_size=20", "budget.images=60", "features=random", "logger=none", "run.dir=run")
    outcome = invoke("train", *documented, *small)
    assert outcome.code == 0, outcome.err
    assert invoke("sample", "checkpoint=run", "labels=all", "n=16", "format=npz").code == 0
    arrays = dict(np.load(tmp_path / "samples" / "samples.npz"))
    assert arrays["images"].shape == (16, 28, 28, 3)
    assert arrays["labels"].tolist() == [label for label in range(8) for _ in range(2)]


def test_a_conditional_model_of_a_stylegan_archive(invoke: Any, tmp_path: Path) -> None:
    """The command is that of docs/data.md, but for the sizes. The folders of such archives are not classes."""
    labels = []
    with zipfile.ZipFile(tmp_path / "afhq.zip", "w") as archive:
        for number in range(60):
            name, file = f"{number // 10:05d}/img{number:08d}.png", io.BytesIO()
            Image.new("RGB", (16, 16), (number, 90, 90)).save(file, "PNG")
            archive.writestr(name, file.getvalue())
            labels.append([name, number % 3])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    documented = ("data=image_folder", "data.root=afhq.zip", "model=cgan", "network=dcgan")
    small = ("data.image_size=16", "network.width=4", "batch_size=20", "budget.images=60", "features=random")
    outcome = invoke("train", *documented, *small, "logger=none", "run.dir=run")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("afhq: 60 images of 16x16, 3 classes (0, 1, 2), ")
    assert invoke("sample", "checkpoint=run", "labels=all", "n=6", "format=npz").code == 0
    assert np.load(tmp_path / "samples" / "samples.npz")["labels"].tolist() == [0, 0, 1, 1, 2, 2]


def test_labels_of_an_unconditional_generator_are_refused(invoke: Any, trained: Path) -> None:
    outcome = invoke("sample", f"checkpoint={trained}", "labels=all", "out=x")
    assert outcome.code == 2
    assert "labels: this generator is unconditional" in outcome.err


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(("model=projgan", "features=none"), marks=pytest.mark.slow),
        ("model=pacgan", "features=none"),
        ("model=unrolled", "features=none", "model.unrolled_steps=2"),
    ],
    ids=lambda model: model[0],
)
def test_a_resumed_run_ends_where_an_unbroken_one_does(run: Callable[..., Path], invoke: Any, model: Any) -> None:
    common = (*model[:1], *SMALL, *model[1:], "optimizer.schedule=constant", "batch_size=31")  # packing drops 1
    whole = run("whole", *common, "budget.images=155")
    part = run("part", *common, "budget.images=62")
    outcome = invoke("train", f"resume={part}", "budget.images=155")
    assert outcome.code == 0, outcome.err
    one, other = weights(whole), weights(part)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("model=cgan", "data=gaussians"), "conditioning.generator: 'concat' needs labels, and the data has none"),
        (
            ("model=acgan", "regularizer=[]"),
            "conditioning.discriminator: the discriminator's auxiliary classifier is not trained",
        ),
        (
            ("conditioning.generator=batchnorm",),
            "conditioning.discriminator: the generator is conditioned on labels (batchnorm) and",
        ),
        (("conditioning.generator=animation",), "conditioning.generator: input should be 'none', 'concat'"),
        (
            ("regularizer=[auxiliary_classifier]",),
            "conditioning.discriminator: AuxiliaryClassifier needs a discriminator with an auxiliary classifier",
        ),
        (
            ("network=autoencoder", "conditioning=concat"),
            "conditioning: no part of this run uses conditioning.generator or conditioning.discriminator",
        ),
        (("network=began", "minibatch=stddev"), "minibatch: no part of this run uses minibatch.layer; leave it out"),
        (
            ("model=projgan", "minibatch=packing"),
            "conditioning.discriminator: 'projection' needs one label per logit",
        ),
        (
            ("minibatch=packing", "model.accumulate=2"),
            "model.accumulate: Packing (discriminator) depends on the whole batch at once",
        ),
        (("minibatch.packing=0",), "minibatch.packing: input should be greater than 0, got 0"),
        (
            ("model=unrolled", "optimizer=wgan_rmsprop"),
            "optimizer.discriminator: unrolling cannot differentiate RMSprop; use SGD, Adam, AdamW",
        ),
        (
            ("network.discriminator.equalized=true", "norm=spectral"),
            "network.discriminator.equalized: equalized learning rates and spectral normalization are mutually",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_does_not_go_together_is_one_line(refuse: Callable[..., str], arguments: Any, line: str) -> None:
    assert line in refuse("train", *arguments)
