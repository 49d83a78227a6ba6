"""The commands and examples of the README and of docs/extending.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from saddlepoint.commands.main import COMMANDS
from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import options

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_added_parts_train_from_a_package(tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worked examples of docs/extending.md, in a user's own package and config folder."""
    page = (ROOT / "docs" / "extending.md").read_text()
    files = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", page, re.DOTALL))
    for name, text in (files | {"mypackage/__init__.py": ""}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    mine = [f"--config-dir={tmp_path / 'myconf'}", "plugins=[mypackage]", "model=mine", "features=random"]
    trained = invoke("train", *mine, "budget.images=320", "callbacks.scores.n=64", "run.dir=run")
    assert trained.code == 0, trained.err
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    config = checkpoint["saddlepoint"]["config"]
    assert config["loss"]["_target_"] == "mypackage.squared_hinge.SquaredHinge"
    assert config["network"]["generator"]["_target_"] == "mypackage.linear.LinearGenerator"
    assert config["regularizer"]["score_drift"]["weight"] == 0.001
    assert checkpoint["progress"]["images_seen"] == 320
    # sample.py ignores the checkpoint's list of plugins.
    refused = invoke("sample", "checkpoint=run", "n=4")
    assert refused.code == 2
    assert "target 'mypackage." in refused.err
    assert "not allowed" in refused.err
    assert invoke("sample", "checkpoint=run", "n=4", "out=out", "plugins=[mypackage]").code == 0
    assert (tmp_path / "out" / "grid.png").exists()


@pytest.mark.parametrize("name", ["model", "data"])
def test_the_tables_list_every_choice(name: str) -> None:
    table = README.partition(f"| `{name}=` |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert named == set(options(name))


def test_commands_compose() -> None:
    """All command lines of the README use existing keys and choices."""
    lines = re.findall(r"^    python (\w+)\.py ?(.*)$", README, re.MULTILINE)
    assert len(lines) >= 9
    for command, rest in lines:
        assert command in COMMANDS
        arguments = [a.strip("'") for a in rest.partition("#")[0].split() if "=" in a]
        singles = [re.sub(r"=([\w]+),.*", r"=\1", a) for a in arguments if not a.startswith("--")]
        compose_config(command, singles)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
