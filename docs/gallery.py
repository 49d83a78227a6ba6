"""Trains every model for a few minutes and writes docs/systems.md: a row a model, its scores, its samples.

    python docs/gallery.py                      # all rows on MNIST, four minutes of training each
    python docs/gallery.py dcgan wgan_gp        # these rows
    python docs/gallery.py --data digits        # on other data

A row that is finished is not trained again, and one that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "outputs" / "gallery"
PAGE = ROOT / "docs" / "systems.md"
PICTURES = ROOT / "docs" / "images" / "gallery"
MACHINE = "machine.txt"
MINUTES = 4.0
"""Of training; scoring twice and, for the first row, the features' classifier come on top."""
FASTER = ["optimizer=dcgan_adam_short"]
SMALL_MLP = [
    *FASTER,
    "budget.images=null",
    "network.generator.hidden=[512,512]",
    "network.discriminator.hidden=[128,128]",
]
ON_DCGAN = ["network=dcgan", "model.discriminator_steps=1", *FASTER]


def at(rate: str) -> list[str]:
    """Return both players' learning rate."""
    return [f"optimizer.generator.lr={rate}", f"optimizer.discriminator.lr={rate}"]


SHORT = {
    "began": ["network.width=16"],
    "cgan": SMALL_MLP,
    "dragan": FASTER,
    "ebgan": ["network.width=32"],
    "fgan": FASTER,
    "gan": [*SMALL_MLP, "optimizer.schedule=linear"],
    "mmdgan": ["network.width=16", "model.discriminator_steps=2", *at("1e-3")],
    "projgan": ON_DCGAN,
    "rgan": FASTER,
    "rpgan": ["network.width=16", *at("8e-4")],
    "sngan": ON_DCGAN,
    "unrolled": [
        "batch_size=64",
        "network.generator.norm=batch",
        "model.unrolled_steps=2",
        "loss=nonsaturating",
        "model.surrogate=generator",
        *at("8e-4"),
    ],
    "wgan": [
        "budget.images=null",
        "network.width=16",
        "model.discriminator_steps=2",
        "optimizer.schedule=linear",
        *at("5e-4"),
    ],
    "wgan_gp": ["network=dcgan", "network.width=16", "batch_size=32", *at("1e-3")],
}
"""What a row of minutes on two cores changes in a model's settings, which are the paper's or near them."""


WHY = {
    "began": "about two thirds of its samples are ones",
    "unrolled": "perceptrons, each of whose updates looks ahead through two steps of D",
}
"""What holds a model back that is not ten times better than untrained in its minutes."""


def overrides(model: str, data: str, minutes: float) -> list[str]:
    """Return the command line of a model's row."""
    return [
        f"model={model}",
        f"data={data}",
        *SHORT.get(model, []),
        f"budget.hours={minutes / 60:.4g}",
        "callbacks.scores.every_images=100_000_000",  # the untrained generator and the last one
        "callbacks.scores.n=2000",
    ]


def description(model: str) -> str:
    """Return the comment at the head of a model's file: the paper, and what is particular."""
    lines = (ROOT / "conf" / "model" / f"{model}.yaml").read_text().splitlines()
    comment = []
    for line in lines[1:]:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment).replace("|", "\\|")


def train(model: str, data: str, minutes: float) -> bool:
    """Train a row's model, unless that is done; return whether it is."""
    folder = RUNS / data / model
    if (folder / "gallery.json").exists():
        return True
    line = overrides(model, data, minutes)
    command = [sys.executable, str(ROOT / "train.py"), *line, f"run.dir={folder}", "resume=auto", "logger=none"]
    done = subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    if done:
        (folder / "gallery.json").write_text(json.dumps(line))
    return done


def row(model: str, data: str) -> str | None:
    """Return a finished row in Markdown, having copied its picture; None where there is none yet."""
    folder = RUNS / data / model
    if not (folder / "gallery.json").exists():
        return None
    line = json.loads((folder / "gallery.json").read_text())
    cards = [json.loads(text) for text in (folder / "scores.jsonl").read_text().splitlines()]
    picture = max((folder / "samples").glob("samples-*.png"))  # the name has the images seen
    PICTURES.mkdir(parents=True, exist_ok=True)
    shrink(picture, PICTURES / f"{model}_{data}.png")
    return (
        f"| `{model}` | {description(model)} | `python train.py {shlex.join(line)}` | {figures(model, cards)} "
        f"| ![{model}](images/gallery/{model}_{data}.png) |"
    )


def figures(model: str, cards: list[dict[str, Any]]) -> str:
    """Say what was reached: the first card of a score beside the last one, and what real images get."""
    parts = []
    for name in ("fid_classifier", "is_classifier", "class_agreement_classifier"):
        own = [card for card in cards if card["metric"] == name]
        if own:
            last = own[-1]
            other_n = f" (n={last['real_n']:,})" if last["real_n"] not in (None, last["n"]) else ""
            parts.append(f"{name} {own[0]['value']:.4g} → {last['value']:.4g}, real {last['real']:.3g}{other_n}")
    first, last = ([card for card in cards if card["metric"] == "fid_classifier"][i] for i in (0, -1))
    verdict = f"{first['value'] / last['value']:.3g}-fold better than untrained"
    if first["value"] < 10 * last["value"]:
        verdict += f": {last['generator_updates']:,} generator updates; {WHY.get(model, 'few steps in this time')}"
    return "<br>".join([*parts, verdict, f"{last['images_seen']:,} images, n={last['n']:,}, seed {last['seed']}"])


def shrink(source: Path, target: Path) -> None:
    """Save a small copy of a picture."""
    from PIL import Image

    with Image.open(source) as picture:
        picture.thumbnail((320, 320))
        picture.save(target, optimize=True)


def section(data: str, models: list[str]) -> str:
    """Return what was made on a data set, in Markdown; nothing where nothing is finished."""
    rows = [text for model in models if (text := row(model, data)) is not None]
    if not rows:
        return ""
    folder = RUNS / data
    line = json.loads(next(folder.glob("*/gallery.json")).read_text())
    hours = next(float(override.partition("=")[2]) for override in line if override.startswith("budget.hours="))
    machine = (folder / MACHINE).read_text() if (folder / MACHINE).exists() else "two CPU cores"
    return (
        f"## data={data}\n\n"
        f"Made by `python docs/gallery.py --data {data} --minutes {60 * hours:.2g}`, {3600 * hours:.0f} seconds of "
        f"training a row on {machine}.\n\n"
        "| model | paper and settings | command | scores: untrained → trained | samples |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def write(models: list[str]) -> None:
    """Write the page from all finished rows, of all data."""
    head = (
        "# The systems\n\n"
        "Every model by its name, trained for a short time. Each score has its card in the run's `scores.jsonl`. "
        "`fid_classifier` is computed from the averaged generator's samples and a small classifier's features, so "
        "compare rows with each other and with the real images' own figure, never with published FIDs.\n\n"
        "A model's own settings are its paper's or near them, for hours on a GPU. What a command adds between `data=` "
        "and `budget.hours=` is for minutes on two CPU cores, smaller networks and higher rates. It was chosen "
        "by such runs of one seed: the rows show that each method learns, not which of them is better.\n"
    )
    made = sorted({path.parents[1].name for path in RUNS.glob("*/*/gallery.json")}, reverse=True)
    PAGE.write_text("\n".join([head, *filter(None, (section(data, models) for data in made))]))


def main() -> None:
    """Train what is missing, row by row, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
    parser.add_argument("models", nargs="*", metavar="model", help=f"by default all of {', '.join(known)}")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training a row (default: %(default)s)")
    parser.add_argument("--machine", default="two CPU cores", help="what the page says it was made on")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.models) - set(known)):
        parser.error(f"unknown model {', '.join(unknown)}; there are {', '.join(known)}")
    (RUNS / arguments.data).mkdir(parents=True, exist_ok=True)
    (RUNS / arguments.data / MACHINE).write_text(arguments.machine)
    failed = []
    for model in arguments.models or known:
        if not train(model, arguments.data, arguments.minutes):
            failed.append(model)
        write(known)
    if failed:
        sys.exit(f"not trained: {', '.join(failed)}; the same command goes on with them")


if __name__ == "__main__":
    main()
