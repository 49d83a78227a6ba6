"""Run the comparisons of conf/experiment/compare and write the results into docs/compare/NAME.md.

    python docs/compare.py                       # all five, one after another: about an hour on one CPU core
    python docs/compare.py objectives penalty    # these

A comparison is the sweep `python train.py -m experiment=compare/NAME`, with three seeds. One that is finished is not
run again, and one that was stopped is resumed. The description is the comment of the experiment's file, and the table
and the verdicts are those of `report.py`. The rest of each page is written by hand.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

from saddlepoint.commands.repeat import command
from saddlepoint.report.runs import Run, find
from saddlepoint.report.table import Group, arrange

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "outputs" / "compare"
PAGES = ROOT / "docs" / "compare"
PICTURES = ROOT / "docs" / "images" / "compare"
NAMES = ("objectives", "penalty", "augment", "discriminator_steps", "batch_size")
BEGIN, END = "<!-- begin: made by docs/compare.py -->", "<!-- end -->"
DONE = "done.json"
SCORE = "fid_classifier"


def train(name: str, machine: str) -> bool:
    """Run a comparison, unless that is done; return whether all of its jobs have finished."""
    folder = RUNS / name
    if (folder / DONE).exists():
        return True
    resumed = (folder / "multirun.yaml").exists()
    given = [f"sweep.resume={folder}"] if resumed else [*overrides(name), f"hydra.sweep.dir={folder}"]
    before = cpu_minutes()
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), *given], cwd=ROOT, check=False).returncode == 0
    if done:
        minutes = None if resumed else cpu_minutes() - before
        (folder / DONE).write_text(json.dumps({"cpu_minutes": minutes, "machine": machine}))
    return done


def cpu_minutes() -> float:
    """Return the CPU time of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def overrides(name: str) -> list[str]:
    """Return the command line of a comparison."""
    return ["-m", f"experiment=compare/{name}"]


def write(name: str) -> None:
    """Write the results of a finished comparison into its page, and its picture."""
    folder = RUNS / name
    asked = [sys.executable, str(ROOT / "report.py"), f"runs={folder}", "format=markdown"]
    report = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    runs = find(str(folder)).runs
    PICTURES.mkdir(parents=True, exist_ok=True)
    draw(arrange(runs).groups, PICTURES / f"{name}.png")
    results = [
        BEGIN,
        description(name),
        made(name, runs),
        report.strip(),
        f"![Scores during training, and samples](../images/compare/{name}.png)",
        f"*Left: {SCORE} of each run over the images seen, and the mean of each setting. Right: the last samples of "
        f"seed {runs[0].setup.seed}.*",
        END,
    ]
    page = PAGES / f"{name}.md"
    before, rest = page.read_text().split(BEGIN)
    page.write_text(before + "\n\n".join(results) + rest.split(END)[1])


def description(name: str) -> str:
    """Return the comment of a comparison's file."""
    lines = (ROOT / "conf" / "experiment" / "compare" / f"{name}.yaml").read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("#"), lines[1:]))


def made(name: str, runs: Sequence[Run]) -> str:
    """Return the sentence that says how the results were made."""
    done = json.loads((RUNS / name / DONE).read_text())
    took = "" if done["cpu_minutes"] is None else f", {done['cpu_minutes']:.0f} minutes of CPU time in all"
    return f"`{command(overrides(name))}` on {done['machine']}: {len(runs)} runs{took}."


def draw(groups: Sequence[Group], path: Path) -> None:
    """Draw the score over the images seen, and the last samples of each setting."""
    columns = 1 + len(groups)
    figure, axes = plt.subplots(1, columns, figsize=(4 + 1.5 * len(groups), 3), width_ratios=[2.4, *[1] * len(groups)])
    for index, group in enumerate(groups):
        curves(axes[0], group, f"C{index}")
        last = max(picture.path for picture in group.rows[0].run.pictures if picture.kind == "samples")
        with Image.open(last) as opened:
            samples = opened.convert("L")
        axes[1 + index].imshow(samples.crop((0, 0, samples.width // 2, samples.height)), cmap="gray")
        axes[1 + index].set_title(group.label, fontsize=8, color=f"C{index}")
        axes[1 + index].axis("off")
    axes[0].set(yscale="log", xlabel="images", ylabel=SCORE)
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter("{x:g}")
    axes[0].tick_params(labelsize=7, which="both")
    axes[0].locator_params(axis="x", nbins=4)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def curves(axes: Axes, group: Group, color: str) -> None:
    """Draw the score of each run of a setting, and their mean."""
    runs = [{card.images_seen: card.value for card in row.run.cards if card.metric == SCORE} for row in group.rows]
    for run in runs:
        axes.plot(list(run), list(run.values()), color=color, linewidth=0.5, alpha=0.5)
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    means = [fmean(run[images] for run in runs) for images in shared]
    axes.plot(shared, means, color=color, marker="o", markersize=3, label=group.label)


def main() -> None:
    """Run the comparisons that are missing, and write each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"by default all of {', '.join(NAMES)}")
    parser.add_argument("--machine", default="two CPU cores", help="the machine that the pages name")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(NAMES)):
        parser.error(f"unknown comparison {', '.join(unknown)}; there are {', '.join(NAMES)}")
    failed = []
    for name in arguments.names or NAMES:
        if train(name, arguments.machine):
            write(name)
        else:
            failed.append(name)
    if failed:
        sys.exit(f"not finished: {', '.join(failed)}; run the same command again to resume them")


if __name__ == "__main__":
    main()
