"""Inception with random weights against torch-fidelity, and errors for missing or wrong weights."""

import hashlib

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from saddlepoint.errors import UserError
from saddlepoint.metrics.features import InceptionFeatures, extractor_from_state
from saddlepoint.metrics.features.inception import FILE, SHA256
from saddlepoint.types import DataInfo


class Blank(FeatureExtractorInceptionV3):
    """The network before weights are loaded."""

    def load_state_dict(self, *_args, **_kwargs) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of He-initialised weights; with the default initialisation, all images would have the same features."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "empty.pth")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Blank("blank", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), folder / "he.pth")
    return folder / "he.pth"


def sha256(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_equals_torch_fidelitys_on_rgb_and_gray(weights, digits, tmp_path) -> None:
    extractor = InceptionFeatures(str(weights), sha256(weights))
    digits.info = DataInfo("rgb", (3, 32, 32), None, {"train": 1, "held_out": 1}, "f")
    extractor.prepare(digits, tmp_path)
    theirs = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=random)
    images[2] = images[2, :1]
    pool, logits = theirs(images)
    ours = extractor(images)
    assert torch.equal(ours.pool, pool)
    assert torch.equal(ours.logits, logits)
    assert float((pool[0] - pool[1]).abs().max()) > 1e-3
    torch.testing.assert_close(extractor(images[2:, :1]).pool, pool[2:])
    assert extractor.version == f"inception-v3-compat-{sha256(weights)[:8]}"
    assert extractor.score_name("fid") == "fid"
    assert extractor.score_name("precision") == "precision_inception"
    again = extractor_from_state(extractor.state(), tmp_path)
    assert torch.equal(again(images[:1]).pool, extractor(images[:1]).pool)


def test_another_file_needs_its_hash(weights, digits, tmp_path) -> None:
    digits.info = DataInfo("rgb", (3, 32, 32), None, {"train": 1, "held_out": 1}, "f")
    with pytest.raises(UserError) as caught:
        InceptionFeatures(str(weights)).prepare(digits, tmp_path)
    assert caught.value.key == "weights"
    assert caught.value.problem == f"{weights} has sha256 {sha256(weights)}, not {SHA256}"
    with pytest.raises(UserError) as caught:
        InceptionFeatures(str(tmp_path / "absent.pth")).prepare(digits, tmp_path)
    assert (caught.value.key, caught.value.problem) == ("weights", f"no such file: {tmp_path / 'absent.pth'}")
    with pytest.raises(UserError) as caught:
        InceptionFeatures(sha256="6726825d")
    problem = "must be 64 lower-case hexadecimal digits, got '6726825d'"
    assert (caught.value.key, caught.value.problem) == ("sha256", problem)
    with pytest.raises(UserError) as caught:
        InceptionFeatures(sha256=sha256(weights)).prepare(digits, tmp_path)
    assert (caught.value.key, caught.value.remedy) == ("sha256", "give the path of your weights")


def test_a_file_with_code_or_other_weights_is_refused(digits, tmp_path) -> None:
    class Code:
        def __reduce__(self):
            return (print, ("unpickled",))

    path = tmp_path / "code.pth"
    torch.save(Code(), path)
    with pytest.raises(UserError, match="not a file of Inception-v3 weights"):
        InceptionFeatures(str(path), sha256(path)).prepare(digits, tmp_path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not a file of Inception-v3 weights"):
        InceptionFeatures(str(path), sha256(path)).prepare(digits, tmp_path)


def test_without_a_network_the_file_and_the_remedies_are_named(digits, tmp_path, monkeypatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path / "hub"))
    with pytest.raises(UserError) as caught:
        InceptionFeatures().prepare(digits, tmp_path)
    assert caught.value.key == "weights"
    for part in (FILE, SHA256):
        assert part in caught.value.problem
    for way in ("path of a copy", "classifier", "random"):
        assert way in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_other_channels_are_refused(digits, tmp_path) -> None:
    digits.info = DataInfo("alpha", (4, 32, 32), None, {"train": 1, "held_out": 1}, "f")
    with pytest.raises(UserError) as caught:
        InceptionFeatures().prepare(digits, tmp_path)
    assert caught.value.problem == "Inception needs gray or RGB images, but alpha has shape [4, 32, 32]"
