"""The data group's config files: every key is an argument or a placeholder, and every source is exported."""

from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import saddlepoint.data
from saddlepoint.config.check import signature_of
from saddlepoint.config.directory import config_directory, options

PLACEHOLDERS = {
    "root",
    "labels",
    "a",
    "b",
    "layout",
    "shape",
    "num_classes",
    "columns",
    "held_out",
    "name",
}  # interpolated by other files
SEVERAL_COLUMNS = {"facades", "paired_folder", "unpaired_folder", "unpaired_mnist"}


def arguments(node: dict[str, Any]) -> set[str]:
    name = node["_target_"].removeprefix("saddlepoint.data.")
    assert name in saddlepoint.data.__all__
    return {"_target_", *signature_of(getattr(saddlepoint.data, name))}


def composed(data: str) -> Any:
    """Return a data set's file, merged with the defaults that it may override."""
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose(overrides=["+features=none", "+network=mlp", f"+data={data}"])
    return OmegaConf.to_container(config, resolve=False)


def test_all_sources_have_a_file() -> None:
    sources = {composed(data)["data"]["source"]["_target_"] for data in options("data")}
    assert {name.removeprefix("saddlepoint.data.") for name in sources} == {*saddlepoint.data.__all__} - {"DataModule"}


@pytest.mark.parametrize("data", options("data"))
def test_keys_are_arguments(data: str) -> None:
    assert (config_directory() / "data" / f"{data}.yaml").read_text().startswith("# @package _global_\n# ")
    config = composed(data)
    assert set(config) == {"features", "network", "data", "budget"}
    node = config["data"]
    assert set(node) - PLACEHOLDERS <= arguments(node)
    assert set(node["source"]) <= arguments(node["source"])
    assert node["shape"] == node["num_classes"] == "???"
    assert node.get("columns") == ("???" if data in SEVERAL_COLUMNS else None)


@pytest.mark.parametrize("data", sorted({*options("data")} - {"gaussians"}))
def test_files_of_image_data_contain_every_argument_of_the_module(data: str) -> None:
    node = composed(data)["data"]
    assert set(node) - PLACEHOLDERS == arguments(node)
