"""DINOv2, CLIP and VGG-16 with random weights, against torch-fidelity where it takes weights from files."""

import hashlib
import warnings

import pytest
import torch
import torchvision
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from saddlepoint.errors import UserError
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import CLIPFeatures, DINOv2Features, VGGFeatures, extractor_from_state
from saddlepoint.metrics.features.vision_transformer import VisionTransformer
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.types import DataInfo

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip


def sha256(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def images(digits) -> torch.Tensor:
    digits.info = DataInfo("rgb", (3, 32, 32), None, {"train": 1, "held_out": 1}, "f")
    return torch.randint(0, 256, (3, 3, 40, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Archive(nn.Module):
    """A module with the parameters of a small CLIP, which can be saved as TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = CLIPVisual(16, 32, 2, 64, 8).visual
        self.text_projection = nn.Parameter(torch.zeros(5, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.visual(x)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with the same random weights as TorchScript and as tensors."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    module = Archive().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.zeros(1, 3, 32, 32), check_trace=False).save(folder / "clip.pt")
    torch.save(module.state_dict(), folder / "clip.pth")
    return folder


def test_clip_equals_torch_fidelitys(clip, digits, images, tmp_path, monkeypatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FeatureExtractorCLIP("clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(clip / "clip.pt"))
    expected = theirs(images)[0]
    extractor = CLIPFeatures(str(clip / "clip.pth"), sha256(clip / "clip.pth"))
    extractor.prepare(digits, tmp_path)
    assert extractor.dim == expected.shape[1] == 16
    torch.testing.assert_close(extractor(images).pool, expected)
    assert float(expected.std(0).mean()) > 1e-3
    monkeypatch.setattr(CLIPFeatures, "official", sha256(clip / "clip.pt"))
    official = CLIPFeatures(str(clip / "clip.pt"))
    official.prepare(digits, tmp_path)
    torch.testing.assert_close(official(images).pool, expected)
    assert official.version == f"clip-vit-b-32-{sha256(clip / 'clip.pt')[:8]}"


def test_torchscript_without_the_official_hash_is_refused(clip, digits, images, tmp_path) -> None:
    """Such a file contains a program."""
    with pytest.raises(UserError, match="not a file of CLIP's weights") as caught:
        CLIPFeatures(str(clip / "clip.pt"), sha256(clip / "clip.pt")).prepare(digits, tmp_path)
    assert caught.value.key == "weights"


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    """A file of random weights of a small vision transformer."""
    torch.manual_seed(0)
    network = VisionTransformer(64, 1, 128, 14, 5)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp("dinov2") / "dinov2.pth"
    torch.save({**network.state_dict(), "mask_token": torch.zeros(1, 64)}, path)
    return path


def test_dinov2_sees_standardized_images_of_224_pixels(dinov2, digits, images, tmp_path) -> None:
    extractor = DINOv2Features(str(dinov2), sha256(dinov2))
    extractor.prepare(digits, tmp_path)
    x = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(224, 224), align_corners=False) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    weights = torch.load(dinov2, weights_only=True)
    with torch.no_grad():
        expected = VisionTransformer.of(weights)((x - mean) / std)
    torch.testing.assert_close(extractor(images).pool, expected, rtol=1e-4, atol=1e-4)
    assert (extractor.dim, extractor.version) == (64, f"dinov2-{sha256(dinov2)[:8]}")
    again = extractor_from_state(extractor.state(), tmp_path)
    assert torch.equal(again(images).pool, extractor(images).pool)
    torch.testing.assert_close(extractor(images[:, :1]).pool, extractor(images[:, [0, 0, 0]]).pool)


def test_scores_have_the_name_of_the_features(dinov2, digits, tmp_path) -> None:
    train, held_out = (rows[:40] for rows in (digits.splits["train"][0], digits.splits["held_out"][0]))
    few = type(digits)({"train": (train, None), "held_out": (held_out, None)})
    extractor = DINOv2Features(str(dinov2), sha256(dinov2))
    extractor.prepare(few, tmp_path)
    reference = RealStatistics.compute(few, extractor, tmp_path, n=40, metrics=("fid", "precision"))
    cards = Evaluator(extractor, reference, ("fid", "precision"), n=40).score([held_out], **AT)
    assert [card.metric for card in cards[:3]] == ["fid_dinov2", "precision_dinov2", "recall_dinov2"]
    assert cards[0].value == pytest.approx(cards[0].real)
    assert cards[0].resize == "bilinear-tf1-224"


@pytest.mark.slow
def test_vgg_equals_torch_fidelitys(digits, images, tmp_path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "vgg.pth"
    torch.save(torchvision.models.vgg16().state_dict(), path)
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(path))
    extractor = VGGFeatures(str(path), sha256(path))
    extractor.prepare(digits, tmp_path)
    torch.testing.assert_close(extractor(images).pool, theirs(images)[0], rtol=1e-4, atol=1e-5)
    assert extractor(images).pool.shape == (3, extractor.dim)


@pytest.mark.parametrize("kind", [CLIPFeatures, DINOv2Features, VGGFeatures])
def test_other_files_are_refused(kind, digits, images, tmp_path, monkeypatch) -> None:
    class Code:
        def __reduce__(self):
            return (print, ("unpickled",))

    for name, content in (("code", Code()), ("other", {"weight": torch.zeros(1)})):
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        with pytest.raises(UserError, match="not a file of") as caught:
            kind(str(path), sha256(path)).prepare(digits, tmp_path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=f"not {kind.official}"):
        kind(str(path)).prepare(digits, tmp_path)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path / "hub"))
    with pytest.raises(UserError, match=f"cannot download {kind.file}") as caught:
        kind().prepare(digits, tmp_path)
    assert caught.value.key == "weights"
    digits.info = DataInfo("alpha", (4, 32, 32), None, {"train": 1, "held_out": 1}, "f")
    with pytest.raises(UserError, match="needs gray or RGB images"):
        kind().prepare(digits, tmp_path)
