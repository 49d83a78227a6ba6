"""docs/compare.py writes the results of finished comparisons into pages."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with folders of its own."""
    spec = importlib.util.spec_from_file_location("compare_pages", ROOT / "docs" / "compare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("RUNS", "PAGES", "PICTURES"):
        monkeypatch.setattr(module, name, tmp_path / name)
    return module


@pytest.mark.slow
def test_results_stand_in_the_page_and_the_rest_of_it_stays(script: Any, write_sweep: Any) -> None:
    runs = write_sweep(script.RUNS / "penalty", {"dcgan": [10.0, 11.0, 10.6], "dragan": [6.0, 7.1, 6.5]})
    (runs / "done.json").write_text(json.dumps({"cpu_minutes": 12.3, "machine": "two CPU cores"}))
    script.PAGES.mkdir()
    page = script.PAGES / "penalty.md"
    page.write_text(f"# Title\n\nBy hand.\n\n{script.BEGIN}\nold\n{script.END}\n\nAlso by hand.\n")
    for _ in range(2):  # the second time, the results are replaced by the same
        script.write("penalty")
        text = page.read_text()
        assert text.startswith(f"# Title\n\nBy hand.\n\n{script.BEGIN}\n\nHow strong should")
        assert text.endswith(f"{script.END}\n\nAlso by hand.\n")
        assert "old" not in text
        made = (
            "`python train.py -m experiment=compare/penalty` on two CPU cores: 6 runs, 12 minutes of CPU time in all."
        )
        assert text.count(made) == 1
        assert "dragan has a lower fid_classifier than dcgan: -4" in text
        assert len([line for line in text.splitlines() if line.startswith("|")]) == 4
    with Image.open(script.PICTURES / "penalty.png") as picture:
        assert picture.width == 770  # a curve of 4 inches and two grids of 1.5, at 110 dots per inch


def test_a_finished_comparison_is_not_run_again(script: Any, tmp_path: Path) -> None:
    script.ROOT = tmp_path  # where there is no train.py
    assert not script.train("penalty", "a machine")
    (script.RUNS / "penalty").mkdir(parents=True)
    (script.RUNS / "penalty" / "done.json").write_text("{}")
    assert script.train("penalty", "a machine")
