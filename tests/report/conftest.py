"""Runs written as files, as a training run writes them, without training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from saddlepoint.metrics.cards import ScoreCard

Write = Callable[..., Path]


def card(value: float, images: int, metric: str = "fid_classifier", **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "metric": metric,
        "value": value,
        "n": 1000,
        "splits": None,
        "reference": "digits/train:1472@1f5d7136",
        "features": "classifier",
        "features_version": "1-3230e4d2",
        "resize": "none",
        "ema": True,
        "batchnorm": "running",
        "labels": "none",
        "seed": 0,
        "images_seen": images,
        "generator_updates": images // 64,
        "seconds": 0.1,
        "revision": "f7b62db",
        "real": 0.98,
        "real_n": 1000,
        **changes,
    }
    return json.loads(ScoreCard(**fields).to_json())


def lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(
    folder: Path,
    model: str = "dcgan",
    seed: int = 0,
    final: float = 10.0,
    images: int = 6400,
    finished: bool = True,
    changes: Mapping[str, Any] | None = None,
    cards: Sequence[Mapping[str, Any]] | None = None,
    moments: int = 4,
    rows: int = 100,
) -> Path:
    """Write the folder of a run whose score ``fid_classifier`` falls to ``final``."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "seed": seed,
        "batch_size": 64,
        "budget": {"images": images, "generator_updates": None, "hours": None},
        "run": {"root": "outputs", "dir": str(folder), "name": None},
        "network": {"width": 16, "generator": {"shape": "${data.shape}", "norm": "batch"}},
        "loss": {"_target_": f"saddlepoint.losses.{model}"},
        "regularizer": {"dragan": {"weight": 10.0}} if model == "dragan" else {},
        "model": {"_target_": "saddlepoint.systems.GAN", "discriminator_steps": 1},
        "callbacks": {"samples": {"n": 16}},
        "trainer": {"accelerator": "cpu", "devices": 1},
        "choices": {"model": model, "loss": f"loss_of_{model}", "data": "digits", "network": "dcgan"},
    }
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    random = np.random.default_rng([seed, len(model), ord(model[0])])
    points = np.linspace(0, images, rows).astype(int)
    history = [
        {
            "images_seen": int(seen),
            "generator_updates": int(seen) // 64,
            "seconds": int(seen) / 1000,
            "generator/loss": float(1 + random.normal() / 10),
            "discriminator/loss": float(0.7 + random.normal() / 10),
        }
        for seen in points
    ]
    times = np.linspace(0, images, 5).astype(int)
    values = [final * (1 + 4 * (1 - seen / images)) for seen in times]
    scores = [card(value, int(seen)) for value, seen in zip(values, times, strict=True)] if cards is None else cards
    history += [
        {
            "images_seen": c["images_seen"],
            "generator_updates": c["images_seen"] // 64,
            "seconds": 0.0,
            c["metric"]: c["value"],
        }
        for c in scores
    ]
    lines(folder / "history.jsonl", history)
    lines(folder / "scores.jsonl", scores)
    if finished:
        summary = {"images_seen": images, "generator_updates": images // 64, "seconds": images / 1000}
        summary |= {"best": {"fid_classifier": final} if scores else None}
        (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "samples").mkdir()
    for seen in np.linspace(0, images, moments).astype(int) if moments else ():
        picture(random).save(folder / "samples" / f"samples-{seen:09d}.png")
    for kind in ("closest_pairs_pixels", "class_kl_classifier") if moments else ():
        picture(random).save(folder / "samples" / f"{kind}-{images:09d}.png")
    return folder


def picture(random: np.random.Generator) -> Image.Image:
    """A grid of small images, enlarged eight times, as training writes it."""
    small = Image.fromarray(random.integers(0, 256, (37, 37), dtype=np.uint8))
    return small.resize((296, 296), Image.Resampling.NEAREST)


def write_sweep(folder: Path, models: Mapping[str, Sequence[float]]) -> Path:
    """Write a sweep of models and seeds, given the final score of each seed."""
    jobs = []
    for model, finals in models.items():
        for seed, final in enumerate(finals):
            number = len(jobs)
            write_run(folder / f"{number}_{model}_digits_seed{seed}", model, seed, final)
            overrides = [f"model={model}", f"seed={seed}", "budget.images=6400"]
            jobs.append({"num": number, "overrides": overrides, "status": "done", "error": None})
    lines(folder / "jobs.jsonl", jobs)
    return folder


MODELS = {
    "dcgan": [10.0, 11.0, 10.6],
    "lsgan": [10.1, 10.8, 10.9],
    "dragan": [6.0, 7.1, 6.5],
    "wgan_gp": [20.0, 21.2, 20.4],
}
"""Final scores of a sweep of four models and three seeds."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep", MODELS)


@pytest.fixture(name="card")
def _card() -> Callable[..., dict[str, Any]]:
    return card


@pytest.fixture(name="write_run")
def _write_run() -> Write:
    return write_run


@pytest.fixture(name="write_sweep")
def _write_sweep() -> Write:
    return write_sweep
