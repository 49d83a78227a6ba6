"""``compile=true`` on the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def test_a_machine_without_a_compiler_says_so(refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    line = refuse("train", "compile=true", "network.width=8", "features=none", "logger=none", "run.dir=run")
    assert line == (
        "compile: this machine lacks a C++ compiler, such as g++ (or set the environment variable CXX to one); "
        "install it, or set it to false"
    )


def test_compile_is_a_switch(refuse: Callable[..., str]) -> None:
    assert refuse("train", "compile=often").startswith("compile: input should be a valid boolean, got 'often'")
