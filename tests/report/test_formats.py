from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.report.formats import Report, as_csv, as_json, latex, markdown
from saddlepoint.report.runs import find
from saddlepoint.report.table import arrange, select
from saddlepoint.report.verdicts import compare

pytest.importorskip("tabulate", reason="tabulate is not installed: pip install 'saddlepoint[report]'")


def report(place: Path, metrics: list[str] | None = None) -> Report:
    found = find(str(place))
    table = arrange(found.runs)
    columns = select(table, metrics)
    return Report(table, columns, compare(table, columns), "last", found.problems)


def test_markdown_has_a_row_for_each_setting_and_a_line_for_each_verdict(sweep: Path) -> None:
    lines = markdown(report(sweep)).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0][:4] == ["model", "seeds", "fid_classifier last", "fid_classifier best"]
    assert [row[0] for row in rows[2:]] == ["dcgan", "lsgan", "dragan", "wgan_gp"]
    assert rows[4][1:3] == ["3", "6.533 ± 1.4"]
    assert "Real images: fid_classifier 0.98." in "\n".join(lines)
    follow = "These settings differ too, and follow from model in all these runs: loss, regularizer."
    assert follow in "\n".join(lines)
    assert sum(line.startswith("- ") for line in lines) == 6
    assert any(line.startswith("- dragan has a lower fid_classifier than dcgan: -4 [") for line in lines)


def test_csv_has_a_row_for_each_run(sweep: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(report(sweep)))))
    assert len(rows) == 12
    assert rows[7]["model"] == "dragan"
    assert (rows[7]["seed"], float(rows[7]["fid_classifier last"])) == ("1", 7.1)
    assert float(rows[7]["fid_classifier real"]) == 0.98
    assert (rows[7]["images"], rows[7]["device"], rows[7]["finished"]) == ("6400", "cpu", "True")


def test_json_has_everything(sweep: Path) -> None:
    content = json.loads(as_json(report(sweep)))
    assert len(content["runs"]) == 12
    assert content["scores"][0]["metric"] == "fid_classifier"
    assert content["scores"][0]["n"] == 1000
    assert content["means"][2]["fid_classifier"]["last"]["mean"] == pytest.approx(6.5333333)
    assert sum(verdict["differs"] for verdict in content["verdicts"]) == 5


def test_latex_is_a_booktabs_table_with_escaped_names(sweep: Path) -> None:
    text = latex(report(sweep))
    assert text.count(r"\\") == 5
    assert r"\toprule" in text
    assert r"wgan\_gp" in text


def test_names_of_strangers_do_not_break_the_table(write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x|<script>alert(1)</script>")
    write_run(tmp_path / "b", "dcgan")
    text = markdown(report(tmp_path))
    assert "<script>" not in text
    assert r"x\|&lt;script>" in text


def test_a_report_without_scores(write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a", cards=[])
    write_run(tmp_path / "b", "lsgan", cards=[])
    found = report(tmp_path)
    assert found.verdicts == []
    assert "lsgan" in markdown(found)
    assert len(as_csv(found).splitlines()) == 3
