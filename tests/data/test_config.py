"""The data group's files: every key is an argument or a placeholder, and every source builds from its file."""

import inspect
from pathlib import Path

import pytest
import yaml

import saddlepoint.data

FILES = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))
PLACEHOLDERS = {"root", "layout", "shape", "num_classes"}  # what other files interpolate


def _arguments(node):
    target = getattr(saddlepoint.data, node["_target_"].removeprefix("saddlepoint.data."))
    assert node["_target_"].rpartition(".")[2] in saddlepoint.data.__all__
    return set(inspect.signature(target).parameters) | {"_target_"}


def test_all_sources_have_a_file():
    names = {"digits", "mnist", "fashion_mnist", "cifar10", "image_folder", "gaussians", "stacked_mnist"}
    assert {file.stem for file in FILES} == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_keys_are_arguments(file):
    text = file.read_text()
    assert text.startswith("# @package _global_\n# ")
    node = yaml.safe_load(text)["data"]
    assert next(iter(node)) == "_target_"
    assert next(iter(node["source"])) == "_target_"
    assert set(node) - PLACEHOLDERS <= _arguments(node)
    assert set(node["source"]) <= _arguments(node["source"])
    assert node["shape"] == node["num_classes"] == "???"
