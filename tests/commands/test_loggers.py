"""Loggers of whole runs, alone and together."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.tracking.record import RunRecord
from saddlepoint.tracking.run_logger import RunLogger
from saddlepoint.training import artifacts
from saddlepoint.writing import read_json_lines

PROMISED = {
    *("images_seen", "generator_updates", "seconds", "images_per_second", "evaluation_seconds"),
    *("discriminator/loss", "generator/loss", "discriminator/logits_real", "discriminator/logits_fake"),
    *("discriminator/weight_gradient_norm", "generator/weight_gradient_norm", "generator/learning_rate"),
    *("fid_classifier", "fid_classifier_best", "duplicates_pixels", "support_pixels", "class_kl_classifier"),
    *("real/fid_classifier", "real/duplicates_pixels", "real/support_pixels", "real/class_kl_classifier"),
}
PICTURES = {
    f"pictures/{name}" for name in ("samples", "closest_pairs_pixels", "duplicate_curve_pixels", "class_kl_classifier")
}


def test_an_offline_record_has_every_promised_key(
    invoke: Any, inspect: Any, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    described = ("logger.tags=[quick,small]", "logger.notes=a first try", "logger.artifacts=best")
    outcome = invoke("train", *tiny, *described, "run.dir=run", "callbacks.history.every_rounds=2")
    assert outcome.code == 0, outcome.err
    entries = inspect(tmp_path / "run")
    (run,) = [entry["run"] for entry in entries if entry["type"] == "run" and "config" in entry["run"]][:1]
    assert (run["job_type"], run["notes"], run["tags"]) == ("train", "a first try", ["quick", "small"])
    rows = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    assert all("images_seen" in row for row in rows)
    assert {key for row in rows for key in row} >= PROMISED
    assert {key.removesuffix(".path") for row in rows for key in row if key.endswith(".path")} >= PICTURES
    summary: dict[str, Any] = {}
    for entry in entries:
        summary |= entry.get("summary", {}).get("update", {})
    scores = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["fid_classifier"] == pytest.approx(scores["last"]["fid_classifier"])
    # Its picture has another key, since W&B's summary keeps one value of each.
    assert summary["class_kl_classifier"] == pytest.approx(scores["last"]["class_kl_classifier"])
    assert summary["fid_classifier_best"] == pytest.approx(scores["best"]["fid_classifier"])
    stored = {entry["artifact"]["type"]: entry["artifact"] for entry in entries if entry["type"] == "artifact"}
    files = {
        kind: {content["path"] for content in artifact["manifest"]["contents"]} for kind, artifact in stored.items()
    }
    best = (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    which = "best" if best else "last"  # not if the untrained model has the best score
    assert files["checkpoint"] == {f"{which}.ckpt"}
    assert {"generator.safetensors", "generator.json"} <= files["export"]
    assert which in stored["checkpoint"]["aliases"]
    assert json.loads(stored["checkpoint"]["metadata"])["fid_classifier"] == scores[which]["fid_classifier"]


@pytest.mark.slow
def test_several_loggers_at_once_and_resumed(invoke: Any, inspect: Any, tiny: tuple[str, ...], tmp_path: Path) -> None:
    quick = (*tiny, "network=mlp", "features=random", "callbacks.history.every_rounds=1")
    assert invoke("train", *quick, "logger=[csv,tensorboard]", "run.dir=run").code == 0
    run = tmp_path / "run"
    assert not (run / "wandb").exists()
    (events,) = (run / "tensorboard").glob("events*")
    outcome = invoke("train", "resume=run", "budget.images=600")
    assert outcome.code == 0, outcome.err
    with (run / "csv" / "metrics.csv").open(newline="") as file:
        images = [int(row["images_seen"]) for row in csv.DictReader(file)]
    assert images == [row["images_seen"] for row in read_json_lines(run / "history.jsonl")]
    assert max(images) == 600
    assert len(list((run / "tensorboard").glob("events*"))) == 2
    assert events.exists()
    both = invoke("train", *quick, "logger=[wandb,csv]", "logger.project=some", "run.dir=both")
    assert both.code == 0, both.err
    assert (tmp_path / "both" / "csv" / "metrics.csv").exists()
    assert any(entry.get("run", {}).get("project") == "some" for entry in inspect(tmp_path / "both"))


def test_the_encoder_is_stored_with_its_checkpoint(trained: Path, tmp_path: Path) -> None:
    """Without it, a model that was trained in the encoder's latent space could not be restored elsewhere."""

    class Keep(RunLogger):
        def log(self, row: Any) -> None: ...

        def log_files(self, kind: str, paths: Sequence[Path], alias: str, about: Any) -> None:
            stored[kind] = {path.name for path in paths}

    stored: dict[str, set[str]] = {}
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(trained / "checkpoints" / "last.ckpt", tmp_path / "run" / "checkpoints" / "last.ckpt")
    for names in ({"last.ckpt"}, {"last.ckpt", "encoder.ckpt"}):
        artifacts.store(RunRecord(tmp_path / "run", [Keep()]), [])
        assert stored["checkpoint"] == names
        (tmp_path / "run" / "encoder.ckpt").write_bytes(b"")


def test_a_package_that_is_not_installed_is_one_line(refuse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saddlepoint.training.loggers.find_spec", lambda name: None)
    assert refuse("train", "logger=tensorboard") == (
        "logger: tensorboard is not installed; pip install 'saddlepoint[tensorboard]'"
    )
