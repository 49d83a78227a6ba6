"""Data of unusual sizes: each trains with some network, or is refused in one line. The table stands in docs/data.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "data.md"

SHAPES = {
    "48x32, not square": (20, 48, 32, 3),
    "33x50, odd": (20, 33, 50, 3),
    "gray": (20, 32, 32, 1),
    "RGBA, `data.channels=4`": (20, 32, 32, 4),
    "4x4": (20, 4, 4, 3),
    "7x5": (20, 7, 5, 3),
    "640x640": (20, 640, 640, 3),
    "640x640, `data.image_size=128`": (20, 640, 640, 3),
    "ten images": (10, 32, 32, 3),
    "ten images, `batch_size=64`": (10, 32, 32, 3),
    "one image": (1, 32, 32, 3),
    "one class, `model=cgan`": (20, 32, 32, 3),
    "97 % in one of three classes, `model=cgan`": (100, 32, 32, 3),
}
NETWORKS = {
    "dcgan": ("network=dcgan", "network.width=4"),
    "resnet": ("network=resnet", "network.width=4"),
    "mlp": ("network=mlp", "network.width=16"),
}


def write(case: str, folder: Path) -> str:
    """Write the data of a case, and return the path."""
    shape = SHAPES[case]
    arrays = {"images": np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)}
    if "class" in case:
        arrays["labels"] = np.zeros(len(arrays["images"]), dtype=np.int64)
        if "three" in case:
            arrays["labels"][[30, 60, 90]] = 1, 1, 2
    np.savez(folder / "odd.npz", **arrays)
    return str(folder / "odd.npz")


def result(invoke: Any, case: str, network: str, root: str) -> str:
    """Train for two updates: "yes", or the line of the error."""
    outcome = invoke(
        "train", "model=cgan" if "class" in case else "model=dcgan", *NETWORKS[network], "data=image_folder",
        f"data.root={root}", f"data.image_size={128 if '=128' in case else 'null'}",
        f"batch_size={64 if '=64' in case else 4}",
        f"data.channels={4 if 'RGBA' in case else 'null'}", "features=random", "callbacks.scores.n=8", "logger=none",
        "budget.images=16", f"run.dir=run_{network}",
    )  # fmt: skip
    if outcome.code == 0:
        return "yes"
    (line,) = outcome.err.splitlines()
    assert outcome.code == 2, outcome.err
    return line.removeprefix("error: ").replace(root, "odd.npz")


@pytest.mark.slow
@pytest.mark.parametrize("case", SHAPES)
def test_the_table_of_unusual_data(invoke: Any, tmp_path: Path, case: str) -> None:
    root = write(case, tmp_path)
    results = [result(invoke, case, network, root) for network in NETWORKS]
    cells = [line if line == "yes" else "no" for line in results]
    refusal = next((f"`{line}`" for line in results if line != "yes"), "")
    row = f"| {' | '.join([case, *cells, refusal])} |"
    print(row)  # noqa: T201 - what belongs into the page
    assert row in PAGE.read_text()
