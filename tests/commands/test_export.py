"""Exported networks: loading from JSON and safetensors, running with ONNX Runtime, and rejecting altered files."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from saddlepoint import __version__, trees
from saddlepoint.assembly import build
from saddlepoint.assembly.restore import find, restore
from saddlepoint.config.compose import compose_config
from saddlepoint.config.directory import options
from saddlepoint.errors import UserError
from saddlepoint.export import export, onnx
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.randomness import SAMPLES_PER_KEY as SAMPLE_BLOCK
from saddlepoint.types import DataInfo
from saddlepoint.writing import read_json_lines

FILES = ["generator.json", "generator.onnx", "generator.safetensors"]


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the averaged generator of the tiny DCGAN."""
    folder = tmp_path_factory.mktemp("exported") / "generator"
    assert export.write(restore(trained / "checkpoints" / "last.ckpt", "cpu"), folder) == FILES
    return folder


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx", "no_such_package"))


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the conversion to ONNX, which takes seconds."""
    monkeypatch.setattr(export, "to_onnx", lambda *_: b"a graph")


def graph_of(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options)


def test_the_json_says_all_that_its_user_needs(exported: Path, trained: Path) -> None:
    about = json.loads((exported / "generator.json").read_text())
    assert (about["format"], about["saddlepoint"], about["checkpoint_version"]) == (1, __version__, __version__)
    assert (about["model"], about["data"]["name"], about["ema"]) == ("dcgan", "digits", True)
    assert about["network"] == {
        "_target_": "saddlepoint.networks.DCGANGenerator",
        "shape": [1, 8, 8],
        "latent_dim": 100,
        "width": 8,
        "norm": "batch",
        **{
            key: about["network"][key] for key in about["network"].keys() - {"_target_", "shape", "latent_dim", "width"}
        },
    }
    assert (about["shape"], about["range"], about["latent_dim"], about["prior"]) == ([1, 8, 8], [-1, 1], 100, "uniform")
    assert (about["inputs"], about["outputs"], about["encoder"]) == ({"latents": [100]}, {"images": [1, 8, 8]}, None)
    assert (about["num_classes"], about["class_names"]) == (0, None)
    assert (about["images_seen"], about["generator_updates"]) == (300, 5)
    written = [row for row in read_json_lines(trained / "scores.jsonl") if row["images_seen"] == 300]
    assert about["scores"] == written
    assert len(written) > 2
    for name in FILES[1:]:
        assert about["sha256"][name] == hashlib.sha256((exported / name).read_bytes()).hexdigest()
    assert len(about["sha256"]) == 2


@pytest.mark.parametrize("ema", [True, False])
def test_a_network_built_from_the_json_alone_gives_the_same_bits(
    invoke: Any, trained: Path, tmp_path: Path, without_onnx: None, ema: bool
) -> None:
    outcome = invoke("sample", f"checkpoint={trained}", "export=new/folder", f"ema={ema}")
    assert outcome.code == 0, outcome.err
    back = export.load(tmp_path / "new" / "folder")
    system = restore(find(str(trained)), "cpu").system
    latents = system.draw(5, 0, SAMPLE_BLOCK).latents
    assert torch.equal(back.network(latents), system.sample(SAMPLE_BLOCK, seed=5, ema=ema))
    assert not torch.equal(back.network(latents), system.sample(SAMPLE_BLOCK, seed=5, ema=not ema))
    assert back.about["ema"] is ema


def test_the_weights_are_plain_tensors(exported: Path, trained: Path) -> None:
    system: Any = restore(trained / "checkpoints" / "last.ckpt", "cpu").system
    with safe_open(exported / "generator.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    expected = system.averages["generator"].state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], value) for key, value in expected.items())


@pytest.mark.parametrize("n", [1, 7])
def test_onnx_runtime_computes_the_same_images(exported: Path, n: int) -> None:
    session = graph_of((exported / "generator.onnx").read_bytes())
    (latents,), (images,) = session.get_inputs(), session.get_outputs()
    assert (latents.name, latents.shape, latents.type) == ("latents", ["N", 100], "tensor(float)")
    assert (images.name, images.shape, images.type) == ("images", ["N", 1, 8, 8], "tensor(float)")
    z = torch.rand(n, 100, generator=torch.Generator().manual_seed(n)) * 2 - 1
    expected = export.load(exported).network(z).numpy()
    np.testing.assert_allclose(session.run(None, {"latents": z.numpy()})[0], expected, atol=1e-4)
    assert np.ptp(expected) > 0.01


def test_no_file_names_a_folder_of_this_machine(exported: Path, tmp_path: Path) -> None:
    for name in FILES:
        content = (exported / name).read_bytes()
        for place in (str(Path(export.__file__).parents[3]), str(Path(torch.__file__).parent), str(tmp_path.parent)):
            assert place.encode() not in content, name
        assert b".py" not in content, name


class Conditional(nn.Module):
    """A generator with labels and spectral normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.shape, self.latent_dim, self.num_classes = (1, 2, 2), 3, 5
        self.embed, self.linear = nn.Embedding(5, 3), nn.Linear(6, 4)
        apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return torch.tanh(self.linear(torch.cat([latents, self.embed(labels)], 1))).view(-1, 1, 2, 2)


def test_a_conditional_generator_takes_labels() -> None:
    generator = Conditional().eval()
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    inputs = {"latents": torch.zeros(2, 3), "labels": torch.zeros(2, dtype=torch.long)}
    session = graph_of(onnx.to_onnx(generator, inputs, ["images"]))
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("latents", ["N", 3], "tensor(float)"),
        ("labels", ["N"], "tensor(int64)"),
    ]
    for n in (1, 7):
        z, labels = torch.randn(n, 3), torch.arange(n) % 5
        found = session.run(None, {"latents": z.numpy(), "labels": labels.numpy()})[0]
        np.testing.assert_allclose(found, generator(z, labels).detach().numpy(), atol=1e-6)
    assert generator.state_dict().keys() == before.keys()  # the original keeps its parametrizations
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())


class Stubborn(nn.Module):
    latent_dim = 3

    def forward(self, latents: Tensor) -> Tensor:
        return latents * (1 if math.isclose(float(latents.sum().item()), 0) else 2)


def test_what_onnx_cannot_say_is_said_in_one_line() -> None:
    with pytest.raises(onnx.ConversionError, match=r"^the network cannot be converted \(\w+: .+\)$") as caught:
        onnx.to_onnx(Stubborn(), {"latents": torch.zeros(2, 3)}, ["images"])
    assert "\n" not in str(caught.value)


def test_without_the_packages_the_other_files_are_written_and_a_line_says_so(
    invoke: Any, trained: Path, tmp_path: Path, without_onnx: None
) -> None:
    outcome = invoke("sample", f"checkpoint={trained}", "export=out")
    assert outcome.code == 0
    line = "no generator.onnx: no_such_package not installed; pip install 'saddlepoint[export]'\n"
    assert outcome.err == line
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [FILES[0], FILES[2]]
    assert export.load(tmp_path / "out").about["sha256"].keys() == {FILES[2]}


def test_a_folder_that_holds_something_is_left_alone(
    refuse: Callable[..., str], trained: Path, tmp_path: Path, instant: None
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert (
        refuse("sample", f"checkpoint={trained}", "export=mine") == "export: mine is not empty; choose another folder"
    )
    assert refuse("sample", f"checkpoint={trained}", "export=mine/notes.txt").startswith(
        "export: mine/notes.txt is not a folder"
    )
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    line = refuse("sample", "checkpoint=nowhere.ckpt", "export=mine/notes.txt/deeper")
    assert "cannot write to" in line
    assert line.endswith("; choose another folder")


def test_an_empty_folder_is_filled(invoke: Any, trained: Path, tmp_path: Path, instant: None) -> None:
    (tmp_path / "out").mkdir()
    assert invoke("sample", f"checkpoint={trained}", "export=out").code == 0
    assert (tmp_path / "out" / "generator.json").exists()


def test_a_write_that_fails_leaves_nothing(
    refuse: Callable[..., str], trained: Path, tmp_path: Path, instant: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        if written:
            raise OSError(28, "No space left on device")
        path.write_bytes(data)
        written.append(path)

    monkeypatch.setattr(export, "write_atomically", full)
    line = refuse("sample", f"checkpoint={trained}", "export=out")
    assert line == f"cannot write to {tmp_path / 'out'}: No space left on device; choose another folder"
    assert len(written) == 1
    assert not any(tmp_path.iterdir())


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    return tmp_path


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        export.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_newer_and_foreign_exports_are_refused(copied: Path) -> None:
    about = json.loads((copied / "generator.json").read_text())

    def say(**changes: Any) -> None:
        (copied / "generator.json").write_text(json.dumps({**about, **changes}))

    weights = bytearray((copied / "generator.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "generator.safetensors").write_bytes(weights)
    assert "generator.safetensors does not match its sha256" in refused(copied)
    say(sha256={"generator.safetensors": hashlib.sha256(weights).hexdigest()})
    export.load(copied)
    say(format=2)
    assert "has export format 2" in refused(copied)
    (copied / "generator.json").write_text("[]")
    assert "has export format None" in refused(copied)
    (copied / "generator.json").write_text("{")
    assert "not valid JSON" in refused(copied)
    (copied / "generator.json").unlink()
    assert "No such file" in refused(copied)


def test_an_export_names_known_networks_only(copied: Path) -> None:
    about = json.loads((copied / "generator.json").read_text())
    digest = hashlib.sha256((copied / "generator.safetensors").read_bytes()).hexdigest()
    for network, named in (
        ({"_target_": "os.mkdir", "path": "pwned"}, "target 'os.mkdir' is not allowed"),
        ({**about["network"], "_args_": [1]}, "network.generator._args_: unknown key"),
        ({**about["network"], "width": -1}, "network.generator.width: input should be greater than 0, got -1"),
        ({**about["network"], "width": 4}, "is not compatible with this version"),
        ("eval", "network.generator: unknown key"),
        ({**about["network"], "norm": "${oc.env:HOME}"}, "oc.env"),
    ):
        changed = {**about, "network": network, "sha256": {"generator.safetensors": digest}}
        (copied / "generator.json").write_text(json.dumps(changed))
        assert named in refused(copied)


IMAGES = ("stub", (1, 32, 32), tuple("0123456789"), {"train": 9, "held_out": 9}, "0")
INFO = {
    "": DataInfo(*IMAGES),
    "pix2pix": DataInfo(*IMAGES, {"inputs": (3, 32, 32), "targets": (1, 32, 32)}),  # type: ignore[arg-type]
    "cyclegan": DataInfo(*IMAGES, {"a": (3, 32, 32), "b": (1, 32, 32)}),  # type: ignore[arg-type]
}


def models() -> list[str]:
    return options("model")


@pytest.mark.slow
@pytest.mark.parametrize("model", models())
def test_every_network_that_a_model_exports_converts(model: str) -> None:
    """Including networks with images as inputs; graphs are compared on the system's example inputs.

    They agree to within 1e-4, or five times the rounding error of the network in float32, if that is more.
    """
    config = compose_config("train", [f"model={model}"])
    if "width" in config.network:
        config.network.width = 4
    if "heads" in config.network:
        config.network.heads = 1
    build.fill(config, INFO.get(model, INFO[""]))
    for name, exported in build.build_system(config).exports(ema=False).items():
        network = exported.network.eval()
        if model == "diagonal_bilstm":
            with pytest.raises(onnx.ConversionError, match="the recurrence over diagonals would be unrolled"):
                onnx.to_onnx(network, exported.inputs, exported.outputs)
            continue
        session = graph_of(onnx.to_onnx(network, exported.inputs, exported.outputs))
        for n in (1, 7):
            random = torch.Generator().manual_seed(n)
            given = {
                key: torch.arange(n) % 10
                if example.dtype == torch.long
                else torch.rand((n, *example.shape[1:]), generator=random) * 2 - 1
                for key, example in exported.inputs.items()
            }
            found = session.run(None, {i.name: given[i.name].numpy() for i in session.get_inputs()})
            doubles = {key: value.double() if value.is_floating_point() else value for key, value in given.items()}
            with torch.no_grad():
                expected = list(trees.leaves(network(**given)))
                exact = list(trees.leaves(copy.deepcopy(network).double()(**doubles)))
            assert len(found) == len(expected) == len(exported.outputs), name
            for one, other, best in zip(found, expected, exact, strict=True):
                rounding = (other - best).abs().max().item()
                np.testing.assert_allclose(one, best.numpy(), atol=max(1e-4, 5 * rounding))
