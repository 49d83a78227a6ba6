"""``report wandb=`` and ``checkpoint=wandb:…``, without a server and with a local one that answers as W&B's does.

The local server knows the requests of the locked release of wandb. It shows that ours are complete and that the answers
are used, but not that W&B itself draws what the workspace describes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb_server import Server

from saddlepoint.report import workspace
from saddlepoint.report.workspace import Recorded

pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed: pip install 'saddlepoint[report]'")
ARTIFACT = "wandb:me/some/checkpoint-abc:best"


@pytest.fixture
def server(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local server, and an account there."""
    with Server() as answering:
        threading.Thread(target=answering.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", answering.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield answering
        answering.shutdown()


@pytest.fixture(scope="session")
def recorded(trained: Path, inspect: Any) -> Recorded:
    """The run of :func:`trained`, from its offline record."""
    entries = inspect(trained)
    config = next(entry["run"]["config"]["update"] for entry in entries if "config" in entry.get("run", {}))
    rows = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    summary: dict[str, Any] = {}
    for key, value in ((key, value) for row in rows for key, value in row.items()):
        name, dot, field = key.partition(".")  # `leet inspect` writes the fields of pictures as `samples.path`
        summary[name] = {**summary.get(name, {}), field: value} if dot else value
    return Recorded("abc", config, summary, "a-sweep")


def keys_of(panel: Any) -> list[str]:
    """Return the metrics and pictures that a panel shows."""
    names = [*getattr(panel, "y", []), *getattr(panel, "media_keys", [])]
    if axes := getattr(panel, "columns", []):
        names.append(axes[-1].metric.name)
    return [*names, *([panel.with_respect_to] if hasattr(panel, "with_respect_to") else [])]


def test_every_promised_panel_shows_what_a_run_has_logged(recorded: Recorded) -> None:
    others = [Recorded(name, json.loads(json.dumps(recorded.config)), recorded.summary) for name in ("def", "ghi")]
    others[0].config["choices"]["model"], others[1].config["batch_size"] = "lsgan", 32
    built = workspace.build("me", "some", [recorded, *others])
    shown = {section.name: section.panels for section in built.sections}
    assert [*shown] == [
        *("Losses", "Scores", "Samples", "Duplicates and support", "Cost", "Importance of settings"),
        "Settings that differ",
    ]
    drawn = {name: [keys for panel in panels if (keys := keys_of(panel))] for name, panels in shown.items()}
    assert {key for lists in drawn.values() for keys in lists for key in keys} <= recorded.summary.keys()
    assert ["discriminator/logits_real", "discriminator/logits_fake"] in drawn["Losses"]
    for name in ("loss", "weight_gradient_norm", "learning_rate"):
        assert all([f"{player}/{name}"] in drawn["Losses"] for player in ("discriminator", "generator"))
    assert ["fid_classifier", "real/fid_classifier"] in drawn["Scores"]
    assert drawn["Samples"] == [["pictures/samples"], ["pictures/class_kl_classifier"]]
    assert ["duplicates_pixels", "real/duplicates_pixels"] in drawn["Duplicates and support"]
    assert ["support_pixels", "real/support_pixels"] in drawn["Duplicates and support"]
    assert ["pictures/closest_pairs_pixels"] in drawn["Duplicates and support"]
    assert ["pictures/duplicate_curve_pixels"] in drawn["Duplicates and support"]
    assert drawn["Cost"] == [["images_per_second"], ["seconds"], ["evaluation_seconds"]]
    assert drawn["Importance of settings"] == [["fid_classifier_best"]] * 2
    assert shown["Settings that differ"][0].diff_only == "split"
    # Each number that a run logs is in a panel; the axes of the panels are in all rows.
    numbers = {key for key, value in recorded.summary.items() if isinstance(value, int | float) and key[0] != "_"}
    left = numbers - {key for lists in drawn.values() for keys in lists for key in keys}
    assert left == {"images_seen", "generator_updates"}
    columns = built.runset_settings.pinned_columns
    assert columns[:5] == [
        *("run:displayName", "run:state", "config:choices.value.model", "config:batch_size.value"),
        "config:seed.value",
    ]
    assert columns[5:7] == ["summary:fid_classifier_best", "summary:fid_classifier"]
    assert built.runset_settings.filters == ""


def test_memory_and_plugins_have_panels() -> None:
    config = {"seed": 0, "choices": {"model": "mine"}}
    summary = {"gpu_memory_gib": 2.5, "beauty": 1.0, "real/beauty": 2.0, "generator/loss": 0.1, "generator/r9": 0.1}
    built = workspace.build("me", "some", [Recorded("abc", config, summary)])
    assert {section.name: [keys_of(panel) for panel in section.panels] for section in built.sections} == {
        "Losses": [["generator/loss"], ["generator/r9"]],
        "Scores": [["beauty", "real/beauty"]],
        "Cost": [["gpu_memory_gib"]],
        "Settings that differ": [[]],
    }
    (score,) = built.sections[1].panels
    assert score.line_marks == {"abc:real/beauty": "dashed"}


def node(run: Recorded) -> dict[str, Any]:
    """Return a run as the API describes it."""
    return {
        "projectId": "1",
        "id": "i",
        "name": run.id,
        "displayName": "a run",
        "tags": [],
        "state": "finished",
        "group": run.group,
        "jobType": "train",
        "sweepName": None,
        "systemMetrics": "{}",
        "readOnly": False,
        "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
        "summaryMetrics": json.dumps(dict(run.summary)),
        "createdAt": "2026-01-01T00:00:00",
        "heartbeatAt": "2026-01-01T00:00:00",
        "historyLineCount": 1,
        "user": {"name": "me", "username": "me"},
        "historyKeys": {},
    }


def test_the_workspace_of_a_sweep_is_saved(invoke: Any, server: Server, recorded: Recorded, tmp_path: Path) -> None:
    server.runs = [node(recorded)]
    outcome = invoke("report", "wandb=me/some/a-sweep")
    assert outcome.code == 0, outcome.err
    (view,) = server.views
    identifier = view["name"].removeprefix("nw-").removesuffix("-v")
    assert outcome.out == f"workspace saved: {server.url}/me/some?nw={identifier}\n"
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("me", "some", "Sweep a-sweep")
    section = view["spec"]["section"]
    panels = [panel for part in section["panelBankConfig"]["sections"] for panel in part["panels"]]
    scores = [panel["config"]["metrics"] for panel in panels if panel["viewType"] == "Run History Line Plot"]
    assert ["fid_classifier", "real/fid_classifier"] in scores
    (runs,) = section["runSets"]
    assert {"name": "group", "value": "a-sweep"}.items() <= _leaf(runs["filters"]).items()
    assert '"sweep": "a-sweep"' in next(asked["filters"] for asked in server.asked if "filters" in asked)
    assert not any(tmp_path.iterdir())
    server.runs = [{**node(recorded), "group": None, "sweepName": "u3x"}]
    assert invoke("report", "wandb=me/some/u3x").code == 0
    filters = server.views[-1]["spec"]["section"]["runSets"][0]["filters"]
    assert {"name": "sweep", "value": "u3x"}.items() <= _leaf(filters).items()


def _leaf(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the name and the value of the only condition in a workspace's filters."""
    while "key" not in filters:
        (filters,) = filters["filters"]
    return {"name": filters["key"]["name"], "value": filters["value"]}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("wandb=me",), "wandb: 'me' is not of the form ENTITY/PROJECT or ENTITY/PROJECT/SWEEP"),
        (("wandb=me/some/a/b",), "wandb: 'me/some/a/b' is not of the form ENTITY/PROJECT or ENTITY/PROJECT/SWEEP"),
        (("wandb=me//a",), "wandb: 'me//a' is not of the form ENTITY/PROJECT or ENTITY/PROJECT/SWEEP"),
        (("wandb=me/some", "runs=outputs"), "wandb: mutually exclusive with runs=; give one of them"),
        (("wandb=me/some", "format=csv"), "format: applies only to runs=; leave it out"),
        (("wandb=me/some",), "wandb: W&B cannot be used: no API key found; run `wandb login`"),
    ],
)
def test_mistakes_in_wandb_are_one_line(arguments: tuple[str, ...], line: str, refuse: Any) -> None:
    assert refuse("report", *arguments) == line


def test_a_project_without_runs_of_ours_is_one_line(refuse: Any, server: Server, recorded: Recorded) -> None:
    for runs in ([], [{**node(recorded), "config": json.dumps({"lr": {"value": 1}})}]):
        server.runs = runs
        line = "wandb: no runs of Saddlepoint in me/some; upload runs first, with `wandb sync`"
        assert refuse("report", "wandb=me/some") == line
    assert not server.views


def test_a_server_that_cannot_be_reached_is_one_line(refuse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    end = "W&B cannot be used: 127.0.0.1 cannot be reached; try again when it can be reached"
    assert refuse("report", "wandb=me/some") == f"wandb: {end}"
    assert refuse("sample", f"checkpoint={ARTIFACT}") == f"checkpoint: {end}"


def test_without_the_library_is_one_line(refuse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saddlepoint.report.workspace.util.find_spec", lambda name: None)
    assert refuse("report", "wandb=me/some") == (
        "wandb: a workspace needs wandb-workspaces, which is not installed; pip install 'saddlepoint[report]'"
    )


def test_a_checkpoint_is_downloaded_sampled_and_scored(
    invoke: Any, server: Server, trained: Path, cache_home: Path, tmp_path: Path
) -> None:
    content = (trained / "checkpoints" / "last.ckpt").read_bytes()
    server.store("best.ckpt", content)
    server.store("notes.txt", b"not needed")
    outcome = invoke("sample", f"checkpoint={ARTIFACT}", "n=4", "out=theirs")
    assert outcome.code == 0, outcome.err
    (file,) = (cache_home / "saddlepoint" / "wandb").rglob("*.ckpt")
    assert file.read_bytes() == content
    assert not [*file.parent.glob("*.txt")]
    assert invoke("sample", f"checkpoint={trained}/checkpoints/last.ckpt", "n=4", "out=ours").code == 0
    assert (tmp_path / "theirs" / "grid.png").read_bytes() == (tmp_path / "ours" / "grid.png").read_bytes()
    server.files.clear()  # it is not downloaded again
    outcome = invoke("evaluate", f"checkpoint={ARTIFACT}")
    assert outcome.code == 0, outcome.err
    cards = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert {card["checkpoint"] for card in cards} == {ARTIFACT}
    assert "fid_classifier" in {card["metric"] for card in cards}


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("wandb:me/some", "'wandb:me/some' is not of the form wandb:ENTITY/PROJECT/NAME:ALIAS"),
        ("wandb:me/some/name", "'wandb:me/some/name' is not of the form wandb:ENTITY/PROJECT/NAME:ALIAS"),
        ("wandb:me/some/a/b:best", "'wandb:me/some/a/b:best' is not of the form wandb:ENTITY/PROJECT/NAME:ALIAS"),
        (ARTIFACT, "W&B cannot be used: no API key found; run `wandb login`"),
    ],
)
def test_mistakes_in_artifacts_are_one_line(reference: str, line: str, refuse: Any) -> None:
    for command in ("sample", "evaluate"):
        assert refuse(command, f"checkpoint='{reference}'").startswith(f"checkpoint: {line}")
    quick = ("network=mlp", "features=random", "logger=none")
    assert refuse("train", *quick, f"init_from='{reference}'").startswith(f"init_from: {line}")


def test_artifacts_without_a_checkpoint_are_one_line(refuse: Any, server: Server, tmp_path: Path) -> None:
    problem = refuse("sample", "checkpoint='wandb:me/some/checkpoint-xyz:best'")
    assert problem == "checkpoint: W&B's server: artifact membership 'checkpoint-xyz:best' not found in 'me/some'"
    secret = tmp_path / "secret.ckpt"
    secret.write_bytes(b"of this machine")
    server.store("notes.txt", b"not a checkpoint")
    server.store("folder/best.ckpt", b"not a file at the top")
    server.store("best.ckpt", secret.read_bytes(), ref=f"file://{secret}")
    assert refuse("sample", f"checkpoint={ARTIFACT}") == (
        "checkpoint: artifact me/some/checkpoint-abc:best contains no checkpoint; choose an artifact of type checkpoint"
    )
