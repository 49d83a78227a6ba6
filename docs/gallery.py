"""Train every model for a few minutes and write docs/systems.md: a row for each, with its scores and samples.

    python docs/gallery.py                      # all rows, four minutes of training each
    python docs/gallery.py dcgan wgan_gp        # these rows
    python docs/gallery.py dcgan --data digits  # on other data

Each row is `experiment=quick/NAME`, on MNIST unless the experiment chooses its own data. A finished row is not trained
again, and an interrupted one is resumed. Rows that were not trained on this machine stay on the page as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from saddlepoint.config.directory import options

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "outputs" / "gallery"
PAGE = ROOT / "docs" / "systems.md"
PICTURES = ROOT / "docs" / "images" / "gallery"
PICTURE_KEYS = ("samples", "samples_a_to_b")
MACHINE = "machine.txt"
MINUTES = 4.0
"""Minutes of training for each row, without its two evaluations and the training of the classifier."""

WHY = {
    "vae": "its samples are the decoder's means, which are blurred",
    "began": "about two thirds of its samples are ones",
    "transgan": "spots, not yet digits, after few steps; 742 after ten minutes with two discriminator steps",
    "vitgan": "two or three modes after few steps; 889 after ten minutes with StyleGAN2's discriminator",
    "unrolled": "perceptrons, each of whose updates looks ahead through two steps of D",
}
"""Reasons why a model is less than ten times better than untrained."""

SCORES = (
    "fid_classifier",
    "is_classifier",
    "class_agreement_classifier",
    "elbo",
    "nll",
    "code_accuracy",
    "reconstruction_l1",
    "nearest_neighbour_accuracy",
    "code_energy_distance",
    "l1",
    "ssim",
    "l1_a_to_b",
    "l1_b_to_a",
)
"""The scores shown on the page, if a model has them."""


def data_of(model: str) -> str:
    """Return the data set that a model's experiment chooses, or ``mnist``."""
    text = (ROOT / "conf" / "experiment" / "quick" / f"{model}.yaml").read_text()
    chosen = re.search(r"override /data: (\w+)", text)
    return chosen[1] if chosen else "mnist"


def overrides(model: str, data: str, minutes: float) -> list[str]:
    """Return the command line of a model's row."""
    return [f"experiment=quick/{model}", f"data={data}", f"budget.hours={minutes / 60:.4g}"]


def description(model: str) -> str:
    """Return the comment at the head of a model's file: its paper and its settings."""
    lines = (ROOT / "conf" / "model" / f"{model}.yaml").read_text().splitlines()
    comment = []
    for line in lines[1:]:  # after the package directive
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment).replace("|", "\\|")


def train(model: str, data: str, minutes: float) -> bool:
    """Train a row's model, unless that is done; return whether it succeeded."""
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
    """Copy a finished row's picture and return the row in Markdown; None if it is not finished."""
    folder = RUNS / data / model
    if not (folder / "gallery.json").exists():
        return None
    line = json.loads((folder / "gallery.json").read_text())
    cards = [json.loads(text) for text in (folder / "scores.jsonl").read_text().splitlines()]
    shown = next(key for key in PICTURE_KEYS if any((folder / "samples").glob(f"{key}-*.png")))
    picture = max((folder / "samples").glob(f"{shown}-*.png"))  # the name has the images seen
    PICTURES.mkdir(parents=True, exist_ok=True)
    shrink(picture, PICTURES / f"{model}_{data}.png")
    return (
        f"| `{model}` | {description(model)} | `python train.py {shlex.join(line)}` | {figures(model, cards)} "
        f"| ![{model}](images/gallery/{model}_{data}.png) |"
    )


def figures(model: str, cards: list[dict[str, Any]]) -> str:
    """Return each score of the untrained and of the trained model, and that of real images."""
    parts = []
    for name in SCORES:
        own = [card for card in cards if card["metric"] == name]
        if own:
            last = own[-1]
            other_n = f" (n={last['real_n']:,})" if last["real_n"] not in (None, last["n"]) else ""
            real = "" if last["real"] is None else f", real {last['real']:.3g}{other_n}"
            parts.append(f"{name} {own[0]['value']:.4g} → {last['value']:.4g}{real}")
    distances = [card for card in cards if card["metric"] == "fid_classifier"]
    if distances:
        first, last = distances[0], distances[-1]
        verdict = f"{first['value'] / last['value']:.3g}-fold better than untrained"
        if first["value"] < 10 * last["value"]:
            verdict += f": {last['generator_updates']:,} generator updates; {WHY.get(model, 'few steps in this time')}"
        parts.append(verdict)
    last = cards[-1]
    return "<br>".join([*parts, f"{last['images_seen']:,} images, n={last['n']:,}, seed {last['seed']}"])


def shrink(source: Path, target: Path) -> None:
    """Save a small copy of a picture."""
    from PIL import Image

    with Image.open(source) as picture:
        picture.thumbnail((320, 320))
        picture.save(target, optimize=True)


def heading(data: str) -> str:
    """Return the head of a data set's section: how its rows were made."""
    folder = RUNS / data
    line = json.loads(next(folder.glob("*/gallery.json")).read_text())
    hours = next(float(override.partition("=")[2]) for override in line if override.startswith("budget.hours="))
    machine = (folder / MACHINE).read_text() if (folder / MACHINE).exists() else "two CPU cores"
    return (
        f"## data={data}\n\n"
        f"Made by `python docs/gallery.py`, {3600 * hours:.0f} seconds of training for each row on {machine}.\n\n"
        "| model | paper and settings | command | scores: untrained → trained | samples |\n|---|---|---|---|---|"
    )


def sections() -> dict[str, tuple[str, dict[str, str]]]:
    """Return the sections of the page as it is: by data set, the head and the rows by model."""
    found = {}
    for part in re.split(r"^(?=## data=)", PAGE.read_text() if PAGE.exists() else "", flags=re.MULTILINE)[1:]:
        lines = part.rstrip().splitlines()
        rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
        head = "\n".join(line for line in lines if not line.startswith("| `"))
        found[lines[0].removeprefix("## data=")] = head, rows
    return found


def write(models: list[str]) -> None:
    """Write the page: the rows that it has, and those that have been trained here in their place."""
    head = (
        "# The systems\n\n"
        "Every model, trained for a short time. The score cards are in each run's `scores.jsonl`. `fid_classifier` is "
        "computed from samples of the averaged generator and the features of a small classifier: compare rows with "
        "each other and with the score of real images, not with published FIDs.\n\n"
        "A model's own settings are those of its paper or near them, for hours on a GPU. `experiment=quick/NAME` "
        "(`conf/experiment/quick/`) adapts them to minutes on two CPU cores, with smaller networks and higher learning "
        "rates. These were chosen in such runs of one seed: the rows show that each method learns, not which is "
        "better.\n"
    )
    page = sections()
    for path in sorted(RUNS.glob("*/*/gallery.json")):
        data, model = path.parents[1].name, path.parent.name
        made = row(model, data)
        if model in models and made is not None:
            page.setdefault(data, (heading(data), {}))[1][model] = made
    order = sorted(page, key=lambda data: (data != "mnist", data))
    texts = ["\n".join([page[data][0], *(rows for _, rows in sorted(page[data][1].items()))]) + "\n" for data in order]
    PAGE.write_text("\n".join([head, *texts]))


def main() -> None:
    """Train the rows that are missing, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = options("experiment/quick")
    parser.add_argument("models", nargs="*", metavar="model", help=f"by default all of {', '.join(known)}")
    parser.add_argument("--data", help="by default that of the model's experiment, or mnist")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="of training for each row (default: %(default)s)"
    )
    parser.add_argument("--machine", default="two CPU cores", help="the machine that the page names")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.models) - set(known)):
        parser.error(f"unknown model {', '.join(unknown)}; there are {', '.join(known)}")
    failed = []
    for model in arguments.models or known:
        data = arguments.data or data_of(model)
        (RUNS / data).mkdir(parents=True, exist_ok=True)
        (RUNS / data / MACHINE).write_text(arguments.machine)
        if not train(model, data, arguments.minutes):
            failed.append(model)
        write(known)
    if failed:
        sys.exit(f"not trained: {', '.join(failed)}; run the same command again to resume them")


if __name__ == "__main__":
    main()
