from __future__ import annotations

from pathlib import Path

from saddlepoint.config.directory import all_options, defaults, groups, options


def test_groups_and_options_of_both_folders(tmp_path: Path) -> None:
    for name in ("loss/own", "loss/_shared", "loss/hinge", "mygroup/sub/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").touch()
    assert groups(str(tmp_path)) - groups() == {"mygroup", "mygroup/sub"}
    assert set(options("loss", str(tmp_path))) - set(options("loss")) == {"own"}
    assert options("loss", str(tmp_path)).count("hinge") == 1
    assert options("mygroup", str(tmp_path)) == ["sub/a"]
    assert options("nowhere") == []
    assert "_shared" not in options("loss", str(tmp_path))
    listed = all_options("train", str(tmp_path)).splitlines()
    assert "mygroup/sub: a" in listed
    assert f"loss: {', '.join(options('loss', str(tmp_path)))}" in listed
    assert not any(line.startswith("hydra") for line in listed)
    assert [line.partition(":")[0] for line in all_options("evaluate").splitlines()[2:-1]] == ["data", "features"]
    assert all_options("sample") == ""


def test_defaults_name_groups_with_their_choices() -> None:
    assert defaults("sample") == {}
    assert defaults("a-config-of-the-users-own") == {}
    assert {"model", "data", "regularizer"} <= set(defaults("train"))
    assert not any("hydra" in group for group in defaults("train"))
