"""Checks and speeds that only a GPU shows, for every model, in less than eight minutes.

    python benchmarks/gpu.py --out docs/benchmarks         # all parts; data=cifar10 for the last
    python benchmarks/gpu.py --parts checks --models dcgan,stylegan2
    python benchmarks/gpu.py --device cpu --rounds 2 --parts checks --models dcgan    # the same program without a GPU

Parts:

- ``checks``: each model is trained for some rounds on the CPU. Samples of that checkpoint on the device are compared
  with those on the CPU, and for models with a discriminator its logits and the gradient of their mean, all in float32.
  Then the model is trained on the device in float32, bf16 and fp16, and with ``compile=true``; losses must be finite.
- ``speed``: images per second of SNGAN, BigGAN, StyleGAN2 and R3GAN at 32 px in float32, in bf16, and in bf16 compiled.
- ``cifar10``: five minutes of the fastest of them on labelled CIFAR-10, scored with ``features=classifier``.

A record with the device and versions is written to ``OUT/gpu_DEVICE.json``. Nothing is downloaded if CIFAR-10 is at
hand.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

import saddlepoint as sp
from saddlepoint.config.directory import options
from saddlepoint.writing import read_json_lines

IMAGES = ("data=digits", "data.image_size=32", "data.fit=resize", "data.channels=3")
DATA: dict[str, tuple[str, ...]] = {
    "pix2pix": ("data=facades", "data.image_size=64"),
    "cyclegan": ("data=unpaired_mnist",),
    **dict.fromkeys(("vae", "pixelcnn", "row_lstm", "diagonal_bilstm"), ("data=binarised_mnist",)),
}
"""The data of models that are not trained on digits of 3×32×32."""
QUIET = ("features=none", "logger=none", "callbacks.samples.every_images=1000000000")
FASTEST = ("sngan", "biggan", "stylegan2", "r3gan")
WAYS: dict[str, tuple[str, ...]] = {
    "float32": ("trainer.precision=32-true",),
    "bf16": ("trainer.precision=bf16-mixed",),
    "fp16": ("trainer.precision=16-mixed",),
    "compiled": ("trainer.precision=bf16-mixed", "compile=true"),
}
SECONDS = 15.0
"""Training time of each speed, of which the first third is not counted."""


def run(folder: Path, device: str, *overrides: str) -> Any:
    """Train a model in a new folder, and return its run."""
    accelerator = "gpu" if device.startswith("cuda") else "cpu"
    return sp.train(f"trainer.accelerator={accelerator}", f"run.dir={folder}", *QUIET, *overrides)


def settings(model: str) -> tuple[str, ...]:
    """Return the choices of a model's check."""
    return (f"experiment=quick/{model}", *DATA.get(model, IMAGES), "budget.hours=null", "batch_size=16")


def check(model: str, device: str, rounds: int, ways: list[str], folder: Path) -> dict[str, Any]:
    """Return the differences between the devices and the final losses of each way of training."""
    budget = f"budget.images={16 * rounds}"
    trained = run(folder / "cpu", "cpu", *settings(model), budget, "trainer.precision=32-true").directory
    found: dict[str, Any] = differences(sp.load(trained, "cpu"), sp.load(trained, device))
    for way in ways:
        try:
            made = run(folder / way, device, *settings(model), budget, *WAYS[way])
        except (sp.UserError, sp.RunError) as error:
            found[way] = str(error)
            continue
        losses = {key: value for key, value in rows(made.directory)[-1].items() if key.endswith("/loss")}
        found[way] = losses if all(map(math.isfinite, losses.values())) else f"not finite: {losses}"
    return found


def differences(reference: Any, other: Any) -> dict[str, float]:
    """Return the relative differences of samples, logits and gradients between two devices."""
    found: dict[str, float] = {}
    if hasattr(reference, "sample"):
        found["samples"] = relative(reference.sample(8, seed=0), other.sample(8, seed=0))
    critic = getattr(reference, "discriminator", None)
    if isinstance(critic, nn.Module) and hasattr(reference, "draw") and hasattr(reference, "generator"):
        images, labels = reference.sample(8, seed=0), reference.draw(0, 0, 8).labels
        try:
            sides = [judged(system.discriminator.eval(), images, labels) for system in (reference, other)]
        except (TypeError, ValueError, AttributeError):  # critics of codes and of pairs
            return found
        found["logits"], found["gradient"] = (relative(*pair) for pair in zip(*sides, strict=True))
    return found


def judged(critic: nn.Module, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a critic's logits and the gradient of their mean with respect to its weights, as one vector."""
    device = next(critic.parameters()).device
    critic.requires_grad_(True)
    logits = critic(images.to(device), None if labels is None else labels.to(device)).logits
    weights = [parameter for parameter in critic.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(logits.mean(), weights, allow_unused=True)
    return logits.detach(), torch.cat([one.flatten() for one in gradients if one is not None])


def relative(one: Tensor, other: Tensor) -> float:
    """Return max |a - b| / max |a|."""
    one, other = one.double().cpu(), other.double().cpu()
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))


def speed(model: str, device: str, way: str, seconds: float, folder: Path) -> float | str:
    """Return the median of the images per second after the first third of a run."""
    overrides = (f"experiment=quick/{model}", *IMAGES, f"budget.hours={seconds / 3600}", "batch_size=64", *WAYS[way])
    try:
        made = run(folder, device, *overrides, "callbacks.history.every_rounds=5")
    except (sp.UserError, sp.RunError) as error:
        return str(error)
    speeds = [row["images_per_second"] for row in rows(made.directory) if "images_per_second" in row]
    return round(statistics.median(speeds[len(speeds) // 3 :]), 1)


def cifar10(model: str, device: str, minutes: float, folder: Path) -> dict[str, Any]:
    """Train on labelled CIFAR-10, and return the scores."""
    accelerator = "gpu" if device.startswith("cuda") else "cpu"
    made = sp.train(
        f"experiment=quick/{model}",
        "data=cifar10",
        "features=classifier",
        f"budget.hours={minutes / 60}",
        f"trainer.accelerator={accelerator}",
        f"run.dir={folder}",
        "logger=none",
        *WAYS["bf16"],
    )
    scores = {name: card.value for name, card in made.record.latest.items()}
    return {"model": model, "minutes": minutes, "images": made.system.progress.images_seen, **scores}


def rows(directory: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's history."""
    return read_json_lines(directory / "history.jsonl")


def about(device: str) -> dict[str, str]:
    """Return the device and the versions."""
    cuda = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "lightning": pl.__version__,
        "python": platform.python_version(),
        "cuda": str(torch.version.cuda) if cuda else "",
        "saddlepoint": sp.__version__,
    }


def main() -> None:
    """Run the parts and write the record after each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--parts", default="checks,speed,cifar10", help="parts to run, separated by commas")
    parser.add_argument("--models", default="", help="models to check; default: all")
    parser.add_argument("--ways", default="", help="ways of training; default: all, on the CPU float32 and bf16")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of training in each check")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds of training for each speed")
    parser.add_argument("--minutes", type=float, default=5.0, help="minutes on CIFAR-10")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the record")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.exit(2, "no GPU was found; --device cpu runs the same program on the CPU\n")
    ways = arguments.ways.split(",") if arguments.ways else list(WAYS)
    ways = ways if arguments.device != "cpu" or arguments.ways else ["float32", "bf16"]
    parts, record = arguments.parts.split(","), {"about": about(arguments.device)}
    name = record["about"]["device"].lower().replace(" ", "_") or "cpu"
    file, start = arguments.out / f"gpu_{name}.json", time.perf_counter()
    arguments.out.mkdir(parents=True, exist_ok=True)

    def keep(part: str, key: str, value: Any) -> None:
        record.setdefault(part, {})[key] = value
        record["about"]["seconds"] = f"{time.perf_counter() - start:.0f}"
        file.write_text(json.dumps(record, indent=2) + "\n")
        print(f"{part} {key}: {value}", flush=True)

    with tempfile.TemporaryDirectory() as root:
        if "checks" in parts:
            for model in arguments.models.split(",") if arguments.models else options("model"):
                keep("checks", model, check(model, arguments.device, arguments.rounds, ways, Path(root) / model))
        if "speed" in parts:
            for model in FASTEST:
                for way in ("float32", "bf16", "compiled"):
                    folder = Path(root) / f"speed_{model}_{way}"
                    keep("speed", f"{model} {way}", speed(model, arguments.device, way, arguments.seconds, folder))
        if "cifar10" in parts:
            keep("cifar10", "scores", cifar10("sngan", arguments.device, arguments.minutes, Path(root) / "cifar10"))


if __name__ == "__main__":
    main()
