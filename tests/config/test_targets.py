"""Classes that a config may name: parts, torch's optimizers, and classes defined in a trusted package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from saddlepoint.config.targets import allowed_targets, resolve_target
from saddlepoint.errors import UserError
from saddlepoint.losses import Hinge


def test_the_list_holds_parts_and_optimizers_only() -> None:
    allowed = allowed_targets()
    assert allowed["saddlepoint.losses.Hinge"] is Hinge
    assert allowed["torch.optim.Adam"] is torch.optim.Adam
    for name, target in allowed.items():
        assert isinstance(target, type)
        module = getattr(target, "__module__", "")
        assert module.startswith(("saddlepoint.", "torch.optim")), name


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.optim.Optimizer",  # abstract
        "torch.optim.lr_scheduler.StepLR",
        "saddlepoint.commands.main.main",
        "saddlepoint.losses.hinge.Hinge",  # not its public name
        "saddlepoint.losses.base.AdversarialLoss",
        "saddlepoint.losses",
        "",
        None,
        3,
    ],
)
def test_nothing_else_is_allowed(target: object) -> None:
    with pytest.raises(UserError, match="is not allowed") as caught:
        resolve_target(target, (), "loss")
    assert caught.value.key == "loss._target_"


def test_a_trusted_package_may_be_named_as_far_as_it_defines_things_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trusted_package.py").write_text(
        "import os\nfrom os import system\nfrom saddlepoint.losses import Hinge\n\n\nclass Own(Hinge):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins = ["trusted_package"]
    assert issubclass(resolve_target("trusted_package.Own", plugins), Hinge)  # type: ignore[arg-type]
    for other in ("trusted_package.system", "trusted_package.os.system", "trusted_package2.Own", "os.system"):
        with pytest.raises(UserError, match=r"is not allowed|cannot be imported"):
            resolve_target(other, plugins)
    with pytest.raises(UserError, match="cannot be imported"):
        resolve_target("trusted_package.Missing", plugins)
    with pytest.raises(UserError, match="is not allowed") as caught:
        resolve_target("trusted_package.Own")
    assert caught.value.remedy == "add its package to plugins=[…] if you trust it"
