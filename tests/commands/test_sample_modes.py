from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.assembly.restore import find, restore
from saddlepoint.data import DataModule, Digits
from saddlepoint.exploring import paths
from saddlepoint.metrics.quantise import quantise


@pytest.fixture
def make(invoke: Any, trained: Path, tmp_path: Path) -> Any:
    """Sample in a mode, and return the arrays of the npz."""
    names = map(str, itertools.count())

    def run(*arguments: str, checkpoint: Path = trained) -> Any:
        out = next(names)
        outcome = invoke("sample", f"checkpoint={checkpoint}", f"out={out}", "format=[grid,npz]", *arguments)
        assert outcome.code == 0, outcome.err
        assert (tmp_path / out / "grid.png").exists()
        return np.load(tmp_path / out / "samples.npz")

    return run


def pixels(samples: torch.Tensor) -> Any:
    return quantise(samples).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("path", ["slerp", "lerp"])
def test_interpolations_are_samples_of_a_closed_path(make: Any, trained: Path, path: paths.Path) -> None:
    found = make("mode=interpolate", "n=12", "columns=4", "seed=3", f"path={path}")["images"]
    system: Any = restore(find(str(trained)), "cpu").system
    latents = paths.loop(system.draw(3, 0, 3).latents, 4, path)
    assert (found == pixels(system.sample(12, latents=latents))).all()
    assert (found[::4] == pixels(system.sample(3, seed=3))).all()
    assert (found == make("mode=interpolate", "n=12", "columns=4", "seed=3", f"path={path}")["images"]).all()


def test_arithmetic_is_that_of_mean_latents(make: Any, trained: Path) -> None:
    found = make("mode=arithmetic", "terms=[[0,1],[2,5],[4,4]]", "seed=2")["images"]
    system: Any = restore(find(str(trained)), "cpu").system
    z = system.draw(2, 0, 6).latents
    a, b, c = (z[0] + z[1]) / 2, (z[2] + z[5]) / 2, z[4]
    expected = torch.stack([z[0], z[1], a, z[2], z[5], b, z[4], z[4], c, a - b + c])
    assert len(found) == 12
    assert np.abs(found[:10].astype(int) - pixels(system.sample(10, latents=expected))).max() <= 1
    near, result = found[10:].astype(float), found[9].astype(float)
    assert 0 < np.abs(near - result).mean() < np.abs(found[0] - result).mean()


def test_truncated_rows_have_the_latents_of_the_first_row(make: Any) -> None:
    rows = make("mode=truncation", "n=20")["images"].reshape(5, 4, -1).astype(float)
    assert (rows[0] == make("n=4")["images"].reshape(4, -1)).all()
    assert (rows[4] == make("n=4", "truncation=0.2")["images"].reshape(4, -1)).all()
    spread = [row.std(0).mean() for row in rows]
    assert spread == sorted(spread, reverse=True)


def test_nearest_training_images_are_those_of_a_search(make: Any, trained: Path) -> None:
    arrays = make("mode=nearest", "n=9")
    from sklearn.datasets import load_digits  # the images of data=digits, in [0, 16]

    assert (arrays["images"] == make("n=9")["images"]).all()
    digits = np.round(load_digits().images * (255 / 16))[..., None]
    for image, nearest in zip(arrays["images"].astype(float), arrays["nearest"].astype(float), strict=True):
        shown = np.square(image - nearest).sum()
        assert shown >= np.square(digits - image).sum((1, 2, 3)).min()
        assert np.square(digits - nearest).sum((1, 2, 3)).min() < len(nearest.flatten())  # it is one of them


def test_each_row_of_a_traversal_is_a_line_through_the_sample(make: Any) -> None:
    sample = make("n=1")["images"]
    for along in ("sefa", "pca", "axes"):
        rows = make("mode=traverse", f"along={along}", "n=21", "columns=7")["images"].reshape(3, 7, 8, 8, 1)
        assert (rows[:, 3] == sample).all(), along
        assert (rows[:, 0] != rows[:, 6]).any((1, 2, 3)).all(), along


@pytest.mark.parametrize("other_game", ["infogan"], indirect=True)
def test_codes_are_traversed_where_the_model_has_them(make: Any, other_game: Path) -> None:
    checkpoint = other_game / "checkpoints" / "last.ckpt"
    system: Any = restore(checkpoint, "cpu").system
    found = make("mode=traverse", "n=60", "columns=5", checkpoint=checkpoint)["images"]
    expected = torch.cat([system.traverse(index, 4, 5, seed=0) for index in range(3)])
    assert (found == pixels(expected)).all()


@pytest.mark.parametrize("other_game", ["vae", "bigan", "aae", "vaegan"], indirect=True)
def test_each_row_leads_towards_a_class(make: Any, other_game: Path) -> None:
    checkpoint = other_game / "checkpoints" / "last.ckpt"
    system: Any = restore(checkpoint, "cpu").system
    found = make("mode=traverse", "along=labels", "n=20", "columns=5", checkpoint=checkpoint)["images"]
    codes, deviation = system.draw(0, 0, 1).latents, 1 if system.prior == "normal" else 3**-0.5
    data = DataModule(Digits())
    samples, labels = data.batch("train", 0, data.info.sizes["train"]).samples, data.labels("train")
    encoded = system.encode(samples).cpu()
    for k in range(4):
        way = encoded[labels == k].mean(0) - encoded[labels != k].mean(0)
        latents = codes + torch.linspace(-3, 3, 5)[:, None] * deviation * way / way.norm()
        assert np.abs(found[5 * k : 5 * k + 5].astype(int) - pixels(system.sample(5, latents=latents))).max() <= 1


@pytest.mark.parametrize("other_game", ["vae", "bigan", "aae", "vaegan"], indirect=True)
def test_encoders_reconstruct_and_interpolate_between_images(
    make: Any, refuse: Callable[..., str], other_game: Path, tmp_path: Path
) -> None:
    checkpoint = other_game / "checkpoints" / "last.ckpt"
    system: Any = restore(checkpoint, "cpu").system
    held_out = make("mode=reconstruct", "n=4", checkpoint=checkpoint)
    inputs = torch.from_numpy(held_out["inputs"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert (held_out["images"] == pixels(system.decode(system.encode(inputs)))).all()
    (tmp_path / "in").mkdir()
    for index, image in enumerate(held_out["inputs"][:2]):
        Image.fromarray(image[..., 0]).save(tmp_path / "in" / f"{index}.png")
    between = make("mode=interpolate", "inputs=in", "n=6", "columns=3", checkpoint=checkpoint)["images"]
    assert (between[::3] == held_out["images"][:2]).all()
    assert len(between) == 6
    (tmp_path / "in" / "0.png").unlink()
    problem = refuse("sample", f"checkpoint={checkpoint}", "mode=interpolate", "inputs=in")
    assert problem == "inputs: in holds one image; give two or more to interpolate between"


@pytest.mark.parametrize("other_game", ["vae", "pixelcnn"], indirect=True)
def test_hidden_parts_of_images_are_completed(make: Any, other_game: Path, tmp_path: Path) -> None:
    checkpoint = other_game / "checkpoints" / "last.ckpt"
    system: Any = restore(checkpoint, "cpu").system
    found = make("mode=complete", "n=3", "mask=right", "seed=5", checkpoint=checkpoint)
    assert (found["images"][:, :, :4] == found["inputs"][:, :, :4]).all()
    assert (found["occluded"][:, :, :4] == found["inputs"][:, :, :4]).all()
    assert (found["occluded"][:, :, 4:] == 128).all()
    known = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    known[..., 4:] = False
    inputs = torch.from_numpy(found["inputs"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = system.complete(torch.where(known, inputs, torch.zeros(())), known, seed=5)
    assert np.abs(found["images"].astype(int) - pixels(expected)).max() <= 1
    with Image.open(tmp_path / "0" / "grid.png") as picture:
        assert picture.width == picture.height  # three rows of three images
    Image.fromarray(found["inputs"][0, ..., 0]).save(tmp_path / "one.png")
    alone = make("mode=complete", "inputs=one.png", "mask=right", "seed=5", checkpoint=checkpoint)
    assert (alone["images"] == found["images"][:1]).all()


@pytest.mark.slow
def test_a_gan_completes_images_by_a_search(make: Any, trained: Path) -> None:
    found = make("mode=complete", "n=2", "mask=bottom")
    assert (found["images"][:, :4] == found["inputs"][:, :4]).all()
    assert (found["images"][:, 4:] != found["occluded"][:, 4:]).mean() > 0.5
    system: Any = restore(find(str(trained)), "cpu").system
    images = torch.from_numpy(found["inputs"]).permute(0, 3, 1, 2) / 127.5 - 1
    assert (pixels(system.complete(images, torch.ones(1, 1, 8, 8, dtype=torch.bool))) == found["inputs"]).all()


@pytest.mark.parametrize("other_game", ["pixelcnn"], indirect=True)
def test_models_without_latents_have_no_modes_of_latents(refuse: Callable[..., str], other_game: Path) -> None:
    checkpoint = f"checkpoint={other_game / 'checkpoints' / 'last.ckpt'}"
    for mode in ("interpolate", "arithmetic", "truncation", "traverse"):
        problem = refuse("sample", checkpoint, f"mode={mode}")
        assert problem == "mode: model=pixelcnn has no latents; choose grid, nearest or complete"
    assert refuse("sample", checkpoint, "truncation=0.5").startswith(
        "truncation: autoregressive models have no latents"
    )
    assert refuse("explore", checkpoint, "open=false").startswith(
        "checkpoint: model=pixelcnn has no latents to explore"
    )


def test_an_animation_of_samples_and_one_of_training(invoke: Any, trained: Path, tmp_path: Path) -> None:
    checkpoint = f"checkpoint={trained}"
    assert invoke("sample", checkpoint, "mode=interpolate", "n=8", "columns=4", "format=[gif,mp4]", "fps=5").code == 0
    with Image.open(tmp_path / "samples" / "samples.gif") as animation:
        assert animation.size == (256, 256)
        assert animation.info["duration"] == 200
    with av.open(tmp_path / "samples" / "samples.mp4") as animation:
        assert sum(1 for _ in animation.decode(video=0)) == 8
    outcome = invoke("sample", checkpoint, "mode=animate", "out=training")
    assert outcome.code == 0, outcome.err
    moments = sorted((trained / "samples").glob("samples-*.png"))
    assert f"{len(moments)} pictures of training: training/samples.gif" in outcome.out
    with Image.open(tmp_path / "training" / "samples.gif") as animation, Image.open(moments[0]) as first:
        assert animation.size == (first.width, first.height + 16)
        shown = np.asarray(animation.convert("L"))[: first.height]
        assert np.abs(shown.astype(int) - np.asarray(first.convert("L"))).max() <= 2


REFUSED = {
    "mode=grid along=pca": "along: mode=grid does not use it; leave it out",
    "mode=traverse truncation=0.5": "truncation: mode=traverse does not use it; leave it out",
    "mode=classes": "mode: this generator is unconditional; leave mode out, or train a model with conditioning",
    "mode=reconstruct": "mode: model=dcgan does not encode images; choose a model that does, such as vae",
    "mode=interpolate inputs=in": "inputs: model=dcgan does not encode images; choose a model that does",
    "mode=traverse along=codes": "along: this model has no codes; choose sefa, pca or axes",
    "mode=traverse along=labels": "along: model=dcgan does not encode images; choose a model that does",
    "mode=arithmetic terms=[[0],[1]]": (
        "terms: needs three lists of equal length; give indices, as in [[0,1,2],[3,4,5],[6,7,8]]"
    ),
    "mode=animate format=[grid]": "format: mode=animate writes animations, not grid; choose gif or mp4",
    "mode=animate format=png": "format: mode=animate writes animations, not png; choose gif or mp4",
    "mode=nearest export=x": "mode: does not apply to export=DIR; leave it out",
    "mode=complete mask=middle": "mask: 'middle' does not exist; choose top, bottom, left, right, centre, or",
    "mask=top": "mask: mode=grid does not use it; leave it out",
    "mode=animation": "or 'animate', got 'animation'",
    "fps=0": "fps: input should be greater than or equal to 0.1, got 0",
    "fps=3": "fps: applies only to gif and mp4; leave it out, or set format=gif",
    "export=x fps=3": "fps: applies only to gif and mp4; leave it out, or set format=gif",
    "fps=60": "fps: input should be less than or equal to 50, got 60",
    "n=100000000000": "n: input should be less than or equal to 10000000, got 100000000000",
    "columns=100000": "columns: input should be less than or equal to 1000, got 100000",
    "mode=arithmetic terms=[[0],[1],[9999999]]": "terms: input should be less than 1000000, got 9999999",
    "mode=arithmetic n=5": "n: mode=arithmetic does not use it; leave it out",
    "mode=animate seed=5": "seed: mode=animate does not use it; leave it out",
    "export=x format=png": "format: does not apply to export=DIR; leave it out",
    "mode=interpolate fit=crop": "fit: applies only to inputs=PATH; add inputs=PATH, or leave it out",
    "mode=interpolate labels=0 inputs=in": "labels: does not apply to inputs=PATH; leave it out",
    "labels=1.5": "labels: input should be a valid string, got 1.5",
    "out=''": "out: string should have at least 1 character, got ''",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_a_mode_cannot_do_is_one_line(
    refuse: Callable[..., str], trained: Path, tmp_path: Path, arguments: str
) -> None:
    before = set(tmp_path.iterdir())
    assert REFUSED[arguments] in refuse("sample", f"checkpoint={trained}", *arguments.split())
    assert set(tmp_path.iterdir()) == before


def test_modes_of_a_conditional_model_show_one_class_or_all(invoke: Any, make: Any, tmp_path: Path) -> None:
    small = ("network.width=8", "budget.images=64", "features=none", "logger=none", "callbacks.samples.n=4")
    outcome = invoke("train", "model=cgan", "network=dcgan", "data=digits", *small, "run.dir=run")
    assert outcome.code == 0, outcome.err
    run = tmp_path / "run"
    system: Any = restore(find(str(run)), "cpu").system
    every = make("mode=classes", "n=20", checkpoint=run)
    assert every["labels"].tolist() == [label for label in range(10) for _ in range(2)]
    assert (every["images"] == pixels(system.sample_classes(range(10), 2, seed=0))).all()
    latents = paths.loop(system.draw(0, 0, 2).latents, 3, "slerp" if system.prior == "normal" else "lerp")
    between = make("mode=interpolate", "n=6", "columns=3", "labels=7", checkpoint=run)["images"]
    assert (between == pixels(system.sample(6, torch.full((6,), 7), latents))).all()
    first = make("n=1", checkpoint=run)["images"]
    for arguments in (("mode=traverse", "n=9", "columns=3"), ("mode=interpolate", "n=6", "columns=3")):
        images = make(*arguments, checkpoint=run)["images"]
        assert (images[{"traverse": 1, "interpolate": 0}[arguments[0][5:]]] == first[0]).all()


def test_paths_between_classes_have_the_same_latents(invoke: Any, make: Any, refuse: Any, tmp_path: Path) -> None:
    small = ("network.width=2", "batch_size=16", "budget.images=64", "features=none", "logger=none")
    for model in ("biggan", "cgan"):
        options = ("model.accumulate=1",) if model == "biggan" else ("network=dcgan",)
        assert invoke("train", f"model={model}", "data=digits", *small, *options, f"run.dir={model}").code == 0
    run = tmp_path / "biggan"
    found = make("mode=interpolate", "labels=[3,8]", "columns=4", "seed=5", checkpoint=run)["images"]
    system: Any = restore(find(str(run)), "cpu").system
    z = system.draw(5, 0, 1).latents.expand(8, -1)
    three, eight = system.embed_labels(torch.tensor([3, 8]))
    t = torch.tensor([0, 0.25, 0.5, 0.75])[:, None]
    embeddings = torch.cat([three + t * (eight - three), eight + t * (three - eight)])
    assert np.abs(found.astype(int) - pixels(system.sample(8, latents=z, condition=embeddings)).astype(int)).max() <= 1
    assert (found[[0, 4]] == pixels(system.sample(2, torch.tensor([3, 8]), z[:2]))).all()
    problem = refuse("sample", f"checkpoint={tmp_path / 'cgan'}", "mode=interpolate", "labels=[3,8]")
    assert problem == "labels: this generator has no embedding of labels; give one class"
