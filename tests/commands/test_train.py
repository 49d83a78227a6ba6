from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.tracking.checkpoints import load
from saddlepoint.writing import read_json_lines


def weights(directory: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load(directory / "checkpoints" / "last.ckpt")["state_dict"]
    return found


def test_one_seed_is_one_run_and_another_seed_is_another(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        outcome = invoke("train", *tiny, "features=random", "logger=none", f"seed={seed}", f"run.dir={name}")
        assert outcome.code == 0, outcome.err
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)
    assert not (tmp_path / "a" / "wandb").exists()
    scores = [[row["value"] for row in read_json_lines(tmp_path / name / "scores.jsonl")] for name in "abc"]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)  # the last bits depend on the alignment of arrays in memory
    assert scores[0] != pytest.approx(scores[2], rel=1e-9)


def test_init_from_starts_from_the_weights_and_nothing_else(
    invoke: Any, tiny: tuple[str, ...], trained: Path, tmp_path: Path
) -> None:
    source = trained / "checkpoints" / "last.ckpt"
    outcome = invoke("train", *tiny, f"init_from={source}", "seed=9", "run.dir=run", "logger=none")
    assert outcome.code == 0, outcome.err
    before, after = (read_json_lines(directory / "scores.jsonl") for directory in (trained, tmp_path / "run"))
    # The new run starts with exactly the samples that its source ended with.
    end = {row["metric"]: row["value"] for row in before if row["images_seen"] == 300}
    start = {row["metric"]: row["value"] for row in after if row["images_seen"] == 0}
    assert start == pytest.approx(end, rel=1e-6)  # eigenvalues differ in the last digit
    progress = load(tmp_path / "run" / "checkpoints" / "last.ckpt")["progress"]
    assert progress["images_seen"] == 300


def test_frozen_blocks_keep_the_weights_of_the_source(
    invoke: Any, refuse: Any, tiny: tuple[str, ...], trained: Path, tmp_path: Path
) -> None:
    options = (*tiny, "run.dir=run", "logger=none", "features=none", "model.frozen_blocks=1")
    line = refuse("train", *options)
    assert line == "model.frozen_blocks: blocks with random weights would be frozen; set init_from"
    source = Path(shutil.copy(trained / "checkpoints" / "last.ckpt", tmp_path / "source.ckpt"))
    outcome = invoke("train", *options, f"init_from={source}", "budget.images=128")
    assert outcome.code == 0, outcome.err
    source.rename(tmp_path / "moved.ckpt")  # a resumed run does not need it
    outcome = invoke("train", "resume=run", "budget.images=256")
    assert outcome.code == 0, outcome.err
    source = tmp_path / "moved.ckpt"
    before, after = (load(path)["state_dict"] for path in (source, tmp_path / "run" / "checkpoints" / "last.ckpt"))
    own = {key for key in after if key.startswith("discriminator.") and torch.equal(after[key], before[key])}
    assert own == {"discriminator.trunk.0.weight", "discriminator.trunk.0.bias"}


def test_a_flat_folder_of_odd_pictures_needs_features_random_and_nothing_else(invoke: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(80):
        size = int(random.integers(20, 90)), int(random.integers(20, 90)), 4
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{i}.png")
    # The narrowest network, the smallest batch and the fewest images, for tests on a CPU.
    quick = ["network.width=4", "batch_size=4", "budget.images=12", "run.dir=run", "callbacks.samples.n=4"]
    outcome = invoke("train", "data=image_folder", f"data.root={folder}", "features=random", *quick)
    assert outcome.code == 0, outcome.err
    rows = read_json_lines(tmp_path / "run" / "scores.jsonl")
    expected = {
        "fid_random",
        "kid_random",
        "precision_random",
        "coverage_random",
        "duplicates_random",
        "duplicates_pixels",
    }
    assert expected <= {row["metric"] for row in rows}
    assert rows[0]["reference"].startswith("pictures/train:")
    picture = Image.open(tmp_path / "run" / "samples" / "samples-000000012.png")
    assert picture.mode == "RGB"
    checkpoint = str(tmp_path / "run")
    assert invoke("sample", f"checkpoint={checkpoint}", "n=2", "format=[npz]").code == 0
    assert np.load(tmp_path / "samples" / "samples.npz")["images"].shape == (2, 64, 64, 3)
    assert invoke("evaluate", f"checkpoint={checkpoint}", "n=8").code == 0


def test_points_train_are_scored_and_are_sampled(invoke: Any, tmp_path: Path) -> None:
    quick = ["network.width=8", "budget.images=1000", "callbacks.scores.n=200", "run.dir=run", "logger=none"]
    for layout, dimension in (("grid", 2), ("line", 1)):
        outcome = invoke("train", "data=gaussians", f"data.layout={layout}", *quick, f"run.dir={layout}")
        assert outcome.code == 0, outcome.err
        directory = tmp_path / layout
        end = {
            row["metric"]: row["value"]
            for row in read_json_lines(directory / "scores.jsonl")
            if row["images_seen"] == 1000
        }
        assert {"modes", "high_quality", "reverse_kl"} <= end.keys()
        assert json.loads((directory / "summary.json").read_text())["last"] == end

        outcome = invoke("sample", f"checkpoint={directory}", "n=10", "format=[grid,npz]", f"out={layout}-samples")
        assert outcome.code == 0, outcome.err
        assert np.load(tmp_path / f"{layout}-samples" / "samples.npz")["points"].shape == (10, dimension)
        assert Image.open(tmp_path / f"{layout}-samples" / "grid.png").size == (600, 600)
        refused = invoke("sample", f"checkpoint={directory}", "format=[png]")
        assert (
            refused.code,
            refused.err.startswith("error: format: png is for images, and these samples are points"),
        ) == (2, True)

        last = directory / "checkpoints" / "last.ckpt"
        outcome = invoke("evaluate", f"checkpoint={last}", f"out={layout}.jsonl")
        assert outcome.code == 0, outcome.err
        assert {row["metric"]: row["value"] for row in read_json_lines(tmp_path / f"{layout}.jsonl")} == end


def test_features_none_trains_without_scores(invoke: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    outcome = invoke("train", *tiny, "features=none", "logger=none", "run.dir=run")
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "run" / "scores.jsonl").exists()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    refused = invoke("evaluate", "checkpoint=run")
    assert (refused.code, "; add data=digits" in refused.err) == (2, True)
    named = invoke("evaluate", "checkpoint=run", "data=digits", "features=random", "n=64", "out=scores.jsonl")
    assert named.code == 0, named.err
    assert "fid_random" in {row["metric"] for row in read_json_lines(tmp_path / "scores.jsonl")}


def test_a_penalty_that_a_turn_does_not_suit_is_refused_by_its_key(invoke: Any) -> None:
    """In the first turn of the regularizer's player, after the run has started."""
    settings = ["regularizer=[lecam]", "regularizer.lecam.player=generator", "network.width=8", "features=none"]
    outcome = invoke("train", *settings, "logger=none", "run.dir=run")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1] == (
        "error: regularizer.lecam.player: LeCam needs the critic's output on real samples, and the turn of generator "
        "has none; choose another player or another regularizer"
    )
