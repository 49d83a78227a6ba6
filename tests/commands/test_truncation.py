"""``evaluate.py truncation=[…]`` and ``batchnorm=standing`` by the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saddlepoint.assembly.restore import find, restore
from saddlepoint.metrics.quantise import quantise
from saddlepoint.report.protocol import Protocol
from saddlepoint.report.runs import Card
from saddlepoint.systems.standing import standing_statistics
from saddlepoint.writing import read_json_lines


def test_a_list_of_truncations_is_a_table_and_a_figure(invoke: Any, trained: Path, tmp_path: Path) -> None:
    def cards(*arguments: str) -> list[dict[str, Any]]:
        (tmp_path / "cards.jsonl").unlink(missing_ok=True)
        outcome = invoke("evaluate", f"checkpoint={trained}", "out=cards.jsonl", "n=64", *arguments)
        assert outcome.code == 0, outcome.err
        return read_json_lines(tmp_path / "cards.jsonl")

    swept = cards("truncation=[0.3,1,0.3]", "metrics=[fid,is,recall]")
    assert {(card["metric"].split("_")[0], card["truncation"]) for card in swept} >= {
        (metric, truncation) for metric in ("fid", "is", "precision", "recall") for truncation in (0.3, None)
    }
    assert len(swept) == 2 * len({card["metric"] for card in swept})
    assert Image.open(tmp_path / "cards_truncation.png").width > 300
    one = cards("truncation=0.3", "metrics=[fid]")
    whole = cards("metrics=[fid]")
    values = {card["truncation"]: card["value"] for card in swept if card["metric"] == "fid_classifier"}
    assert values == {0.3: pytest.approx(one[0]["value"]), None: pytest.approx(whole[0]["value"])}
    assert one[0]["value"] != pytest.approx(whole[0]["value"])


def test_standing_statistics_have_columns_of_their_own_in_reports(invoke: Any, trained: Path, tmp_path: Path) -> None:
    options = (f"checkpoint={trained}", "out=cards.jsonl", "metrics=[fid]")
    for batchnorm in ("running", "standing"):
        assert invoke("evaluate", *options, f"batchnorm={batchnorm}").code == 0
    cards = read_json_lines(tmp_path / "cards.jsonl")
    assert [card["batchnorm"] for card in cards] == ["running", "standing"]
    own = {name: cards[0][name] for name in Card.__dataclass_fields__ if name in cards[0] and name != "interval"}
    running, standing = (Protocol.of(Card(**{**own, "batchnorm": name})) for name in ("running", "standing"))
    assert running._replace(batchnorm="standing") == standing
    assert Protocol.of(Card(**{**own, "truncation": 0.3})) != running


def test_samples_by_standing_statistics(invoke: Any, trained: Path, tmp_path: Path) -> None:
    options = (f"checkpoint={trained}", "format=npz", "n=10", "batchnorm=standing")
    assert invoke("sample", *options, "truncation=0.5").code == 0
    assert invoke("sample", *options, "mode=truncation", "out=rows", "columns=3").code == 0
    system: Any = restore(find(str(trained)), "cpu").system
    found, rows = (np.load(tmp_path / out / "samples.npz")["images"] for out in ("samples", "rows"))
    with standing_statistics(system, 0, 0.5):
        assert (found == quantise(system.sample(10, seed=0, truncation=0.5)).permute(0, 2, 3, 1).numpy()).all()
    with standing_statistics(system, 0, 0.2):
        last = quantise(system.sample(3, seed=0, truncation=0.2)).permute(0, 2, 3, 1).numpy()
    assert (rows[-3:] == last).all()


def test_mistakes_are_one_line(refuse: Callable[..., str], trained: Path) -> None:
    assert "truncation" in refuse("evaluate", f"checkpoint={trained}", "truncation=[0.5,2]")
    assert "truncation" in refuse("evaluate", f"checkpoint={trained}", "truncation=[]")
    wrong = refuse("evaluate", "samples=images.zip", "data=digits", "truncation=0.5")
    assert wrong == "truncation: applies only to checkpoint=PATH; leave it out"
    wrong = refuse("sample", f"checkpoint={trained}", "mode=animate", "batchnorm=standing")
    assert wrong == "batchnorm: mode=animate does not use it; leave it out"
