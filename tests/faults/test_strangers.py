"""Untrusted files and command lines: each ends with exit code 2 and one line, and no code in it is run.

Code that is run would create a file ``pwned``.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from saddlepoint.tracking.checkpoints import load

SECRET = "correct-horse-battery-staple"
KEY = "5ec2e7" * 7
HELD = {"HARMLESS_NAME": SECRET, "WANDB_API_KEY": KEY}
"""Secrets in the user's environment, which must not be printed or written."""
QUICK = ("network.width=4", "batch_size=4", "features=none", "logger=none", "budget.images=8")


class Evil:
    """A pickle that runs code when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


# Configs


@pytest.fixture
def harm(user: Any) -> str:
    """Return a shell command that creates the marker."""
    return f"touch {user.folder / 'pwned'}"


NOT_ALLOWED = "is not allowed"
OWN_KEYS = "refers to something other than the config's own keys and ${oc.env:SADDLEPOINT_DATA}"


@pytest.mark.slow
def test_targets_on_the_command_line(user: Any, harm: str) -> None:
    call = f"\"__import__('os').system('{harm}')\""
    nodes = ("loss", "model", "data", "data.source", "network.generator", "optimizer.generator")
    cases = [("train", [*QUICK, f"{node}._target_=os.system"], NOT_ALLOWED) for node in nodes]
    cases += [
        ("train", ["features._target_=builtins.exec", f"+features._args_=[{call}]"], NOT_ALLOWED),
        ("train", ["loss._target_=os.system", f"+loss.command='{harm}'"], NOT_ALLOWED),
        ("train", ["loss._target_=builtins.eval", f"+loss._args_=[{call}]"], NOT_ALLOWED),
        ("train", [f"+loss._args_=['{harm}']"], "loss._args_: unknown key"),
        ("train", ["+loss._partial_=true"], "loss._partial_: unknown key"),
        ("train", ["+loss._recursive_=true"], "loss._recursive_: unknown key"),
        ("train", ["+loss.x._target_=os.system", f"+loss.x.command='{harm}'"], "loss.x: unknown key"),
        ("train", ["network.generator.shape._target_=os.system"], "network.generator.shape._target_"),
        ("train", ["+regularizer.evil._target_=os.system", f"+regularizer.evil.command='{harm}'"], NOT_ALLOWED),
        ("train", ["+callbacks.evil._target_=os.system"], "callbacks.evil: unknown key"),
        ("train", ["plugins=[os]", "loss._target_=os.system", f"+loss.command='{harm}'"], NOT_ALLOWED),
        ("train", ["--experimental-rerun", "config.pickle"], "it unpickles a file"),
        ("evaluate", ["+data._target_=os.system", f"+data.command='{harm}'"], NOT_ALLOWED),
    ]
    user.is_refused(cases, HELD)


def test_references_that_no_checkpoint_may_hold_are_refused_before_there_is_one(user: Any) -> None:
    """Otherwise its checkpoints could not be loaded, and names, records and uploads could contain a secret."""
    cases = [
        ("train", ["run.name=${oc.env:HARMLESS_NAME}"], OWN_KEYS),
        ("train", ["logger.project=x-${oc.env:WANDB_API_KEY,none}"], OWN_KEYS),
        ("train", ["+loss.margin=${oc.decode:1}"], OWN_KEYS),
    ]
    user.is_refused(cases, HELD)


@pytest.mark.slow
def test_parts_in_a_config_folder(user: Any, harm: str) -> None:
    """The user's config folder is trusted, but its parts must be in the list of allowed classes as well."""
    call = "{_target_: os.system, command: '" + harm + "'}"
    experiments = {
        "loss: " + call: NOT_ALLOWED,
        "loss: {_args_: ['" + harm + "']}": "loss._args_: unknown key",
        "data: {source: " + call + "}": NOT_ALLOWED,
        "network: {generator: {shape: [" + call + "]}}": NOT_ALLOWED,
        "run: {name: '${ oc.env : HARMLESS_NAME }'}": OWN_KEYS,
        "run: {name: '${oc.env:SADDLEPOINT_DATA,${oc.env:HARMLESS_NAME}}'}": OWN_KEYS,
        "logger: {tags: ['${oc.decode:${oc.env:HARMLESS_NAME}}']}": OWN_KEYS,
        "loss: {label_smoothing: '${oc.create:{_target_: os.system, command: x}}'}": OWN_KEYS,
        "run: {name: $}\nloss: {label_smoothing: {x: '${run.name}{oc.create:{_target_: os.system}}'}}": "composed of",
        "run: {name: !!python/object/apply:os.system ['" + harm + "']}": "could not determine a constructor",
    }
    (folder := user.folder / "own" / "experiment").mkdir(parents=True)
    for index, content in enumerate(experiments):
        (folder / f"e{index}.yaml").write_text(f"# @package _global_\n{content}\n")
    own = ("--config-dir", str(folder.parent))
    cases = [("train", [*own, f"experiment=e{i}"], named) for i, named in enumerate(experiments.values())]
    user.is_refused(cases, HELD)


@pytest.mark.slow
def test_a_file_of_the_users_own_may_name_a_plugin(user: Any) -> None:
    (user.folder / "mine.py").write_text("from saddlepoint.losses import Hinge\n\n\nclass Own(Hinge):\n    pass\n")
    (folder := user.folder / "own" / "experiment").mkdir(parents=True)
    (folder / "own.yaml").write_text("# @package _global_\nplugins: [mine]\nloss: {_target_: mine.Own}\n")
    user.finish(*QUICK, "--config-dir=own", "experiment=own", "loss=hinge", "run.dir=run")
    # A checkpoint's own list of plugins is ignored.
    user.is_refused([("sample", ["checkpoint=run"], "target 'mine.Own' is not allowed")])
    user.finish("checkpoint=run", "plugins=[mine]", "n=4", command="sample")


# Checkpoints


@pytest.fixture
def sound(finished: Path) -> dict[str, Any]:
    return load(finished / "checkpoints" / "last.ckpt")


def readers(path: Path) -> list[tuple[str, list[str]]]:
    return [
        ("sample", [f"checkpoint={path}"]),
        ("sample", [f"checkpoint={path}", "export=exported"]),
        ("evaluate", [f"checkpoint={path}"]),
        ("train", [f"resume={path}"]),
        ("train", [*QUICK, f"init_from={path}"]),
    ]


@pytest.mark.slow
def test_checkpoints_that_hold_code(user: Any, sound: dict[str, Any]) -> None:
    marker = user.folder / "pwned"
    zipped = io.BytesIO()
    torch.save({**sound, "callbacks": {"x": [Evil(marker)]}}, zipped)
    nested = io.BytesIO()  # a valid zip file and checkpoint, in which the pickle has been replaced
    with zipfile.ZipFile(zipped) as source, zipfile.ZipFile(nested, "w") as target:
        for name in source.namelist():
            data = pickle.dumps(Evil(marker)) if name.endswith("data.pkl") else source.read(name)
            target.writestr(name, data)
    contents = {
        "pickle": pickle.dumps({"state_dict": Evil(marker)}),
        "old": pickle.dumps({"state_dict": Evil(marker)}, protocol=0),
        "zipped": zipped.getvalue(),
        "nested": nested.getvalue(),
    }
    cases = []
    for name, data in contents.items():
        path = user.folder / f"{name}.ckpt"
        path.write_bytes(data)
        known = readers(path) if name == "nested" else readers(path)[:4:3]
        cases += [(command, args, f"refused: {path} contains code") for command, args in known]
    weights = user.folder / "pickle.ckpt"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    inception = ["features=inception", f"features.weights={weights}", f"features.sha256={digest}"]
    cases.append(("train", [*inception, "network.width=4"], "not a file of Inception-v3 weights"))
    user.is_refused(cases, HELD)
    assert pickle.loads(contents["pickle"])  # the attack works without the checks
    assert marker.is_dir()


@pytest.mark.slow
def test_checkpoints_whose_config_names_code(user: Any, sound: dict[str, Any], harm: str) -> None:
    def put(config: Any, key: str, value: Any) -> None:
        *path, last = key.split(".")
        for part in path:
            config = config[part]
        config[last] = value

    call = {"_target_": "os.system", "command": harm}
    twice = f"${{run.name}}{{oc.create:{{_target_: builtins.open, file: {harm.split()[1]}, mode: w}}}}"
    changes: list[tuple[Mapping[str, Any], str]] = [
        ({"loss": call, "plugins": ["os"]}, "target 'os.system' is not allowed"),
        ({"network.generator": {"_target_": "builtins.exec", "_args_": ["1"]}}, "target 'builtins.exec' is not"),
        ({"network.generator.latent_dim": call}, "target 'os.system' is not allowed"),
        ({"loss._args_": [harm]}, "loss._args_: unknown key"),
        ({"network.generator.norm": "${oc.env:HARMLESS_NAME}"}, OWN_KEYS),
        ({"network.generator.norm": "${oc.decode:'{_target_: os.system}'}"}, OWN_KEYS),
        (
            {"run.name": "$", "network.generator.latent_dim": {"x": twice}},
            "is an interpolation that is composed of others",
        ),
    ]
    cases = []
    for index, (change, named) in enumerate(changes):
        content = pickle.loads(pickle.dumps(sound))
        for key, value in change.items():
            put(content["saddlepoint"]["config"], key, value)
        path = user.folder / f"run-{index}" / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        (path.parents[1] / "config.yaml").write_text("{}\n")
        torch.save(content, path)
        known = readers(path)[:4] if index == 0 else [readers(path)[index % 4]]
        cases += [(command, args, named) for command, args in known]
    user.is_refused(cases, HELD)


# Secrets


@pytest.mark.parametrize("offline", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_file_of_a_run_holds_a_secret(user: Any, offline: bool) -> None:
    """Neither the API key, nor environment variables, nor paths of data; not in W&B's own logs either."""
    (netrc := user.folder / "netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {SECRET}\n")
    netrc.chmod(0o600)
    environment = {
        "WANDB_API_KEY": KEY,
        "NETRC": str(netrc),
        "HARMLESS_NAME": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "SADDLEPOINT_DATA": "/the/place/of-the-data",
        **({"WANDB_MODE": "offline"} if offline else {"WANDB_BASE_URL": "http://127.0.0.1:9"}),
    }
    quick = ("network.width=4", "batch_size=16", "features=none", "callbacks.samples.n=4", "budget.images=32")
    process = user.finish(*quick, "run.dir=run", environment=environment)
    files = [path for path in (user.folder / "run").rglob("*") if path.is_file()]
    assert any(path.name.endswith(".wandb") for path in files)
    assert any(path.suffix == ".log" for path in files)
    for path in files:
        content = path.read_bytes()
        for secret in (KEY, SECRET, "/the/place/of-the-data"):
            assert secret.encode() not in content, path
    assert KEY not in process.out + process.err
    assert SECRET not in process.out + process.err


def test_a_run_reads_weights_only_whatever_the_shell_says(user: Any) -> None:
    """The variable is set in the process of the run, and is inherited by all processes that it starts."""
    environment = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "0", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    (package := user.folder / "looks.py").write_text(
        "import os\nfrom saddlepoint.losses.hinge import Hinge\n"
        "class Looks(Hinge):\n    def __init__(self):\n        super().__init__()\n"
        "        names = [n + '=' + v for n, v in os.environ.items() if 'WEIGHTS_ONLY' in n]\n"
        "        open('seen', 'w').write(' '.join(names))\n"
    )
    assert package.exists()
    user.finish(
        *QUICK, "plugins=[looks]", "loss=hinge", "loss._target_=looks.Looks", "run.dir=run", environment=environment
    )
    assert (user.folder / "seen").read_text() == "TORCH_FORCE_WEIGHTS_ONLY_LOAD=1"
