"""Train pairs of models on data with known modes and write the table of docs/modes.md.

    python docs/modes.py                    # all rows, five seeds each: some hours on one CPU core
    python docs/modes.py ring grid          # these benchmarks
    python docs/modes.py --seeds 0,1        # these seeds
    python docs/modes.py stacked_ablation --seeds 0     # what separates RpGAN from DCGAN: 13 runs

A finished run is not repeated. Rows of benchmarks that were not run on this machine stay in the table. Both models of a
pair have the same seed and see the same data in the same order, so their difference is computed for each seed; its
interval is Student's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "outputs" / "modes"
PAGE = ROOT / "docs" / "modes.md"
BEGIN, END = "<!-- begin: made by docs/modes.py -->", "<!-- end -->"
LAST_ONLY = ("callbacks.scores.every_images=100_000_000_000", "callbacks.scores.at_start=false")


@dataclass(frozen=True)
class Benchmark:
    """Models, given by their overrides, on one set of modes; the others are compared with the first."""

    title: str
    common: str
    models: dict[str, str]
    runs: str | None = None  # the benchmark in whose folder the runs lie, where two share a model


POINTS = "callbacks.theory.enabled=false logger=none"
RATE = "optimizer.generator.lr=8e-4 optimizer.discriminator.lr=8e-4"
MOMENTUM = "optimizer.generator.betas=[0.5,0.99] optimizer.discriminator.betas=[0.5,0.99]"
BENCHMARKS = {
    "ring": Benchmark("ring of 8, the demo's protocol, 25,000 steps", f"experiment=modes/ring {POINTS}", {"GAN": ""}),
    "ring_unrolled": Benchmark(
        "ring of 8, the demo's protocol, 2,500 of 25,000 steps",
        f"experiment=modes/ring budget.generator_updates=2_500 {POINTS}",
        {"GAN": "", "unrolled GAN, 5 steps": "model=unrolled"},
    ),
    "ring_pacgan": Benchmark(
        "ring of 8, PacGAN's protocol, 5,000 of 400,000 steps",
        f"experiment=modes/grid data.layout=ring {POINTS}",
        {"GAN": "", "PacGAN2": "minibatch=packing"},
    ),
    "grid": Benchmark(
        "grid of 25, PacGAN's protocol, 5,000 of 400,000 steps",
        f"experiment=modes/grid {POINTS}",
        {"GAN": "", "PacGAN2": "minibatch=packing"},
    ),
    "stacked": Benchmark(
        "Stacked MNIST, 1000 modes, width 16, 320,000 images",
        "experiment=modes/stacked logger=none",
        {"DCGAN": "", "RpGAN + R1 + R2": "model=rpgan"},
    ),
    "stacked_pairing": Benchmark(
        "Stacked MNIST, 1000 modes, width 16, 320,000 images, the loss alone",
        "experiment=modes/stacked logger=none",
        {"GAN + R1 + R2": "model=rpgan loss=nonsaturating", "RpGAN + R1 + R2": "model=rpgan"},
        runs="stacked",
    ),
    "stacked_r3gan": Benchmark(
        "Stacked MNIST, 1000 modes, 160,000 images",
        "budget.images=160_000 logger=none",
        {
            "DCGAN": "experiment=modes/stacked",
            "RpGAN + R1 + R2": "experiment=modes/stacked model=rpgan",
            "R3GAN, small ResNets": "experiment=modes/stacked_r3gan",
        },
    ),
    "stacked_ablation": Benchmark(
        "Stacked MNIST, 1000 modes, 160,000 images, one change at a time",
        "experiment=modes/stacked budget.images=160_000 logger=none",
        {
            "RpGAN + R1 + R2": "model=rpgan",
            "RpGAN, rate 0.0008": f"model=rpgan {RATE}",
            "RpGAN, rate 0.0008, momentum 0.5": f"model=rpgan {RATE} {MOMENTUM}",
            "RpGAN, gamma 0.1": "model=rpgan regularizer.r1.weight=0.1 regularizer.r2.weight=0.1",
            "RpGAN, gamma 10": "model=rpgan regularizer.r1.weight=10 regularizer.r2.weight=10",
            "RpGAN, R1 alone": "model=rpgan regularizer=[r1] regularizer.r1.weight=1",
            "RpGAN, no penalty": "model=rpgan regularizer=[]",
            "RpGAN, no penalty, BatchNorm in D": "model=rpgan regularizer=[] norm=batch",
            "RpGAN, no BatchNorm in G": "model=rpgan norm.generator=none",
            "DCGAN": "",
            "DCGAN, rate 0.0002": "optimizer=dcgan_adam",
            "DCGAN, no BatchNorm in D": "norm=none",
            "DCGAN, no BatchNorm in G": "norm.generator=none",
        },
        runs="stacked_r3gan",
    ),
}


def folder(benchmark: str, model: str, seed: int) -> Path:
    """Return the folder of a run."""
    name = "".join(letter if letter.isalnum() else "_" for letter in model.lower())
    return RUNS / (BENCHMARKS[benchmark].runs or benchmark) / f"{name}-{seed}"


def train(benchmark: str, model: str, seed: int) -> None:
    """Train a run, unless it is finished."""
    own, run = BENCHMARKS[benchmark], folder(benchmark, model, seed)
    if (run / "scores.jsonl").exists():
        return
    overrides = [*own.common.split(), *own.models[model].split(), *LAST_ONLY, f"seed={seed}", f"run.dir={run}"]
    subprocess.run([sys.executable, str(ROOT / "train.py"), *overrides, "resume=auto"], cwd=ROOT, check=True)


def scores(benchmark: str, model: str, seed: int) -> dict[str, float] | None:
    """Return a finished run's last scores, by names without the extractor's, and its images; None if it is missing."""
    path = folder(benchmark, model, seed) / "scores.jsonl"
    if not path.exists():
        return None
    cards = [json.loads(line) for line in path.read_text().splitlines()]
    named = {card["metric"].removesuffix("_channel_classifier"): card["value"] for card in cards}
    return {**named, "images_seen": cards[-1]["images_seen"]}


def spread(values: list[float], digits: str) -> str:
    """Return mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):{digits}}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{digits}}{deviation}"


def interval(differences: list[float]) -> str:
    """Return the mean of paired differences and its 95 % interval.

    >>> interval([1.0, 2.0, 3.0])
    '+2.0 [-0.5, +4.5]'
    """
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.1f}"
    half = t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def rows(benchmark: str) -> list[str]:
    """Return the rows of a benchmark in Markdown, from all finished seeds."""
    own = BENCHMARKS[benchmark]
    seeds = sorted({int(path.name.rpartition("-")[2]) for path in (RUNS / (own.runs or benchmark)).glob("*-*")})
    lines: list[str] = []
    first: dict[int, dict[str, float]] = {}
    for model in own.models:
        found = {seed: own_scores for seed in seeds if (own_scores := scores(benchmark, model, seed))}
        if not found:
            continue
        first = first or found
        if len(lengths := {run["images_seen"] for run in (*first.values(), *found.values())}) > 1:
            sys.exit(f"{benchmark}, {model}: runs of {sorted(lengths)} images; delete those of another budget")
        modes = spread([run["modes"] for run in found.values()], ".1f")
        quality = [100 * run["high_quality"] for run in found.values() if "high_quality" in run]
        kl = spread([run.get("reverse_kl", run.get("mode_kl", float("nan"))) for run in found.values()], ".3f")
        pairs = [found[seed]["modes"] - first[seed]["modes"] for seed in found if seed in first]
        more = interval(pairs) if found is not first and pairs else ""
        lines.append(
            f"| {own.title} | {model} | {len(found)} | {modes} | {spread(quality, '.1f') + ' %' if quality else ''} "
            f"| {kl} | {more} |"
        )
    return lines


def kept(benchmark: str, table: str) -> list[str]:
    """Return the rows of a benchmark in an earlier table."""
    return [line for line in table.splitlines() if line.startswith(f"| {BENCHMARKS[benchmark].title} |")]


def write() -> None:
    """Put the table of all finished runs into the page."""
    head = "| | model | seeds | modes | high quality | KL from uniform | modes minus first row's, 95 % |"
    before, rest = PAGE.read_text().split(BEGIN)
    earlier, after = rest.split(END)
    lines = (line for name in BENCHMARKS for line in rows(name) or kept(name, earlier))
    table = [head, "|---|---|---|---|---|---|---|", *lines]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(table) + "\n" + END + after)


def main() -> None:
    """Train the missing runs and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", nargs="*", metavar="benchmark", help=f"by default all of {', '.join(BENCHMARKS)}")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.benchmarks) - set(BENCHMARKS)):
        parser.error(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for benchmark in arguments.benchmarks or BENCHMARKS:
        for seed in seeds:
            for model in BENCHMARKS[benchmark].models:
                train(benchmark, model, seed)
                write()


if __name__ == "__main__":
    main()
