"""Interpolations that are allowed in the config of a checkpoint, and removal of secrets from configs."""

from __future__ import annotations

import pytest

from saddlepoint.config.references import check_references
from saddlepoint.config.secrets import redacted, refuse_secrets
from saddlepoint.errors import UserError


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "$HOME and {braces}",
        "${data.shape}",
        "${ data.shape }",
        "${network.hidden[0]}-${seed}",
        "${oc.select:data.classes,3}",
        "${oc.env:SADDLEPOINT_DATA}",
        "${oc.env:SADDLEPOINT_DATA,data}",
        "${oc.env:SADDLEPOINT_DATA,${run.root}}",
        "${now:%Y-%m-%d}",
    ],
)
def test_own_keys_and_the_data_root(value: str) -> None:
    check_references({"run": {"name": value}, "tags": [value]})


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HOME}",
        "${ oc.env : HOME }",
        "x-${oc.env:WANDB_API_KEY,none}",
        "${oc.env:SADDLEPOINT_DATA,${oc.env:HOME}}",
        "${oc.decode:1}",
        "${oc.decode:${oc.env:HOME}}",
        "${oc.create:{_target_: os.system}}",
        "${python_version:}",
        "${hydra:runtime.cwd}",
        "${oc.env:${run.name}}",
    ],
)
def test_no_other_variable_and_no_other_resolver(value: str) -> None:
    with pytest.raises(UserError) as caught:
        check_references({"logger": {"tags": ["fine", value]}})
    assert caught.value.key == "logger.tags[1]"
    assert value in caught.value.problem


def test_secrets_are_refused_by_their_keys() -> None:
    for override in ("+hf.tokens=[s3cr3t]", "+key.token=${oc.env:KEY,s3cr3t}", "+a.password=123"):
        with pytest.raises(UserError, match="looks like a secret"):
            refuse_secrets([override])
    for key in ("logger.api_key", "wandb_token", "data.source.password", "API-KEY", "aws_secret"):
        with pytest.raises(UserError) as caught:
            refuse_secrets(["seed=1", f"+{key}=s3cr3t"])
        assert caught.value.key == key
        assert "s3cr3t" not in str(caught.value)
    refuse_secrets(["seed=1", "run.name=my_secret", "~token", "network.num_tokens=16", "+key.token=${oc.env:KEY}"])


def test_secrets_are_removed_from_what_is_written() -> None:
    config = {"logger": {"api_key": "abc", "tags": [{"password": 123, "n": 1}]}, "token": None, "secrets": [{"a": "b"}]}
    removed = {"logger": {"api_key": "…", "tags": [{"password": "…", "n": 1}]}, "token": None, "secrets": "…"}
    assert redacted(config) == removed
    config = {"credentials": {"private": "x"}, "access_tokens": ["x"], "token": {"of": "x"}, "a_token": "${oc.env:A,x}"}
    assert set(redacted(config).values()) == {"…"}


def test_settings_that_are_no_secrets_are_kept() -> None:
    """Without them, a checkpoint could not be read."""
    config = {
        "num_tokens": 16,
        "class_token": True,
        "tokenizer": "bpe",
        "token": {"_target_": "x"},
        "a_token": "${b.c}",
    }
    assert redacted(config) == config
