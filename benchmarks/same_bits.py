"""Trains GAN models with this code and with another revision, and compares the results bit by bit.

    python benchmarks/same_bits.py REVISION                       # the models and combinations of parts listed below
    python benchmarks/same_bits.py REVISION dcgan "dcgan regularizer=[cr]"
    python benchmarks/same_bits.py REVISION --out table.md        # write the table to a file as well

REVISION is checked out in a temporary folder and trained with the same interpreter, and so with the same PyTorch. Each
row is trained for 30 generator updates on digits at 32 px and on the ring of Gaussians. A row is equal if the hashes of
its networks' weights, averaged weights, optimizer states, logs and sample pictures are equal, or if both revisions
refuse it; the messages may differ. The results of REVISION are kept under outputs/same_bits for the next call.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from saddlepoint.writing import write_atomically

ROOT = Path(__file__).resolve().parents[1]
MODELS = (
    "gan", "dcgan", "cgan", "acgan", "projgan", "lsgan", "wgan", "wgan_gp", "dragan", "sngan", "rgan", "ragan", "rpgan",
    "fgan", "mmdgan", "ebgan", "began", "unrolled", "pacgan", "msgan",
)  # fmt: skip
PARTS = (
    "dcgan norm=none regularizer=[cr,lecam]",
    "dcgan norm=none regularizer=[bcr,orthogonal]",
    "dcgan norm=none regularizer=[zcr,historical_averaging] regularizer.historical_averaging.player=discriminator",
    "dcgan norm=none regularizer=[r1,feature_matching] regularizer.r1.interval=4",
    "sngan network.generator.norm=layer regularizer=[path_length,r2]",
    "sngan regularizer=[gradient_penalty] regularizer.gradient_penalty.interval=3 model.accumulate=2",
    "dcgan augment=[diffaugment] loss=top_k",
    "dcgan norm=spectral augment=[ada,instance_noise] regularizer=[r1] augment.ada.start=0.5",
    "wgan_gp minibatch=packing",
    "dcgan norm=none minibatch=discrimination regularizer=[dragan] optimizer.gradient_clip=1.0",
    "cgan conditioning.generator=batchnorm regularizer=[mode_seeking,zcr]",
    "projgan model.generator_batch_multiple=2 optimizer.schedule=cosine",
)
"""Parts that no model chooses, and ways of combining them."""

DATA = {
    "digits": ["data=digits", "data.image_size=32", "data.fit=resize", "features=none"],
    "gaussians": ["data=gaussians", "callbacks.theory.enabled=false", "callbacks.scores.at_start=false"],
}
COMMON = (
    "budget.images=null",
    "budget.generator_updates=30",
    "callbacks.history.every_rounds=1",
    "callbacks.samples.n=16",
    "logger=none",
    "trainer=cpu",
)
KINDS = ("weights", "averages", "optimizers", "logs", "samples")
CLOCKED = {"seconds", "images_per_second", "evaluation_seconds"}
"""Columns of the history that depend on the clock."""


def overrides(row: str, data: str) -> list[str]:
    """Return a row's command line, with narrow networks, so that 30 updates take seconds."""
    model, *rest = row.split()
    small = ["network.width=8"] if model not in ("gan", "cgan") or data == "gaussians" else []
    small += ["network.generator.width=8"] if model == "wgan_gp" and data == "digits" else []
    return [f"model={model}", *DATA[data], *small, *COMMON, *rest]


def train(root: Path, row: str, data: str, folder: Path) -> dict[str, str]:
    """Train a row with the code at ``root`` and return a hash for each kind, or the message of its refusal."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(root / "train.py"), *overrides(row, data), f"run.dir={folder}"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 2:
        return {"refused": done.stderr.strip().splitlines()[-1]}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return hashes(folder)


def hashes(run: Path) -> dict[str, str]:
    """Return the hashes of a run's results."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state = checkpoint["state_dict"]
    averages = {name: value for name, value in state.items() if name.startswith("ema_")}
    others = {name: value for name, value in state.items() if name not in averages}
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    logs = [{key: value for key, value in row.items() if key not in CLOCKED} for row in rows]
    pictures = sorted((run / "samples").glob("samples-*.png"))
    return {
        "weights": digest(others),
        "averages": digest(averages),
        "optimizers": digest(checkpoint["optimizer_states"]),
        "logs": digest(logs),
        "samples": digest([path.name + hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures]),
    }


def digest(node: Any) -> str:
    """Return 12 hexadecimal digits of the hash of nested containers of tensors and plain values."""
    sha = hashlib.sha256()
    for part in _parts(node):
        sha.update(part)
    return sha.hexdigest()[:12]


def _parts(node: Any) -> Iterable[bytes]:
    if isinstance(node, torch.Tensor):
        tensor = node.detach().cpu().contiguous()
        yield f"{tensor.dtype}{tuple(tensor.shape)}".encode()
        yield tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(node, dict):
        for key in sorted(node, key=str):
            yield str(key).encode()
            yield from _parts(node[key])
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _parts(value)
    else:
        yield repr(node).encode()


class Kept:
    """The other revision's results, by row and data, in a file of this machine, PyTorch and revision."""

    def __init__(self, revision: str) -> None:
        commit = subprocess.run(
            ["git", "-C", ROOT, "rev-parse", revision], capture_output=True, text=True, check=True
        ).stdout.strip()
        key = hashlib.sha256(
            f"{platform.node()} {torch.__version__} {torch.cpu.get_capabilities()}".encode()
        ).hexdigest()
        self.path = ROOT / "outputs" / "same_bits" / f"{commit[:12]}-{key[:8]}.json"
        self.lock = threading.Lock()  # runs end in several threads
        self.results: dict[str, dict[str, str]] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, case: tuple[str, str], result: dict[str, str]) -> None:
        """Keep a result, in memory and in the file."""
        with self.lock:
            self.results[" @ ".join(case)] = result
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(self.results, indent=1).encode())

    def get(self, case: tuple[str, str]) -> dict[str, str] | None:
        """Return a result that was kept."""
        return self.results.get(" @ ".join(case))


def compare(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Return how two results differ."""
    if "refused" in theirs or "refused" in ours:
        both = "refused" in theirs and "refused" in ours
        return (
            "refused by both"
            if both
            else f"DIFFERS: {theirs.get('refused', 'trained')} | {ours.get('refused', 'trained')}"
        )
    if "failed" in theirs or "failed" in ours:
        return f"FAILED: {theirs.get('failed', 'trained')} | {ours.get('failed', 'trained')}"
    different = [kind for kind in KINDS if theirs[kind] != ours[kind]]
    return f"DIFFERS in {', '.join(different)}" if different else "equal"


def table(found: Sequence[tuple[str, str, dict[str, str], dict[str, str]]]) -> str:
    """Return all results in Markdown: this code's hashes, and the verdict."""
    lines = [f"| model and overrides | data | {' | '.join(KINDS)} | verdict |", "|---" * (len(KINDS) + 3) + "|"]
    for row, data, theirs, ours in found:
        cells = " | ".join(ours.get(kind, "") for kind in KINDS)
        lines.append(f"| `{row}` | {data} | {cells} | {compare(theirs, ours)} |")
    return "\n".join(lines)


def both(
    cases: Sequence[tuple[str, str]], arguments: argparse.Namespace
) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Train all cases with both revisions and return their results in pairs."""
    kept = Kept(arguments.revision)
    with tempfile.TemporaryDirectory(prefix="same-bits-") as scratch, ThreadPoolExecutor(arguments.jobs) as pool:
        other = Path(scratch) / "other"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(other), arguments.revision], check=True)
        try:

            def one(index: int) -> tuple[dict[str, str], dict[str, str]]:
                case = cases[index]
                if (theirs := kept.get(case)) is None:
                    theirs = train(other, *case, Path(scratch) / f"theirs-{index}")
                    kept.add(case, theirs)
                return theirs, train(ROOT, *case, Path(scratch) / f"ours-{index}")

            return list(pool.map(one, range(len(cases))))
        finally:
            subprocess.run([*git, "remove", "--force", str(other)], check=True)


def main() -> None:
    """Train both revisions, two runs at a time, and print the table; exit with 1 if a row differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what this checkout is compared with")
    parser.add_argument("rows", nargs="*", help="models, each with further overrides; by default all")
    parser.add_argument("--out", type=Path, help="a file to write the table to")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each (default: %(default)s)")
    arguments = parser.parse_args()
    rows = arguments.rows or [*MODELS, *PARTS]
    cases = [(row, data) for row in rows for data in DATA]
    found = [(*case, theirs, ours) for case, (theirs, ours) in zip(cases, both(cases, arguments), strict=True)]
    print(table(found))
    if arguments.out is not None:
        arguments.out.write_text(table(found) + "\n")
    wrong = [one for one in found if compare(one[2], one[3]).startswith(("DIFFERS", "FAILED"))]
    print(f"{len(found) - len(wrong)} of {len(found)} rows are equal")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
