"""Command lines: options in any position, and errors of one line. The details are tested in tests/config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.assembly import resume
from saddlepoint.commands import main
from saddlepoint.config.strict import check_schema

TOO_LARGE = "batch_size=5000"
"""An override whose error is found only after composing and checking the config and inspecting the data."""


def test_options_stand_anywhere(refuse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "own.yaml").write_text("_target_: saddlepoint.losses.Hinge\n")
    own = ["--config-dir", str(tmp_path / "mine")]
    for arguments in (
        ["seed=1", *own, "loss=own", TOO_LARGE],
        ["seed=1", "loss=own", TOO_LARGE, f"--config-dir={tmp_path / 'mine'}"],
        ["loss=own", "-cd", own[1], TOO_LARGE],
    ):
        assert "5000 is more than the 1,472 training samples" in refuse("train", *arguments)


def test_an_unknown_option_is_one_line(refuse: Callable[..., str]) -> None:
    line = refuse("train", "seed=1", "--confg-dir=x")
    assert line == "unrecognized arguments: --confg-dir=x; settings are key=value, and --help lists them"


def test_one_choice_in_every_command_and_in_files(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert refuse("train", "model=[dcgan,lsgan]").startswith("model: this group takes one choice")
    assert refuse("evaluate", "features=[random,classifier]").startswith("features: this group takes one choice")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /loss: [hinge, minimax]\n"
    )
    assert refuse("train", "--config-dir", str(tmp_path), "experiment=own").startswith(
        "loss: this group takes one choice"
    )


def test_evaluate_by_no_features_is_refused(refuse: Callable[..., str], trained: Path) -> None:
    for more in ([], ["data=digits"]):
        assert "features: there are no scores without features" in refuse(
            "evaluate", f"checkpoint={trained}", "features=none", *more
        )


def test_likelihoods_need_data(refuse: Callable[..., str], trained: Path) -> None:
    line = refuse("evaluate", f"checkpoint={trained}", "importance=5")
    assert line == "importance: likelihoods are those of a data set's images; add data=NAME"


def test_a_run_by_a_number_for_a_name(invoke: Any, tmp_path: Path) -> None:
    quick = ["network=mlp", "network.width=8", "budget.images=128", "features=none", "logger=none"]
    outcome = invoke("train", "run.name=007", *quick)
    assert outcome.code == 0, outcome.err
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["007"]
    refused = invoke("sample", "checkpoint=12")
    assert (refused.code, refused.err) == (2, "error: no checkpoint at 12; give a .ckpt file or a run's folder\n")


def test_a_config_is_checked_against_its_schema_once(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def counted(config: Any, schema: Any) -> None:
        checked.append(schema)
        check_schema(config, schema)

    for module in (main, resume):
        monkeypatch.setattr(module, "check_schema", counted)
    assert "5000 is more than" in refuse("train", TOO_LARGE)
    assert len(checked) == 1
