"""Scores of two folders of PNG files equal those of torch-fidelity's API with the same weights file."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from PIL import Image
from sklearn.datasets import load_sample_image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import InceptionFeatures
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.types import DataInfo

AT = {
    "ema": True, "batchnorm": "running", "labels": "none", "images_seen": 640, "generator_updates": 9, "revision": "a",
}  # fmt: skip
N = 24
WEIGHTS = Path(__file__).parents[2] / "benchmarks" / "inception_weights.py"
THEIRS = {
    "fid": "frechet_inception_distance",
    "kid": "kernel_inception_distance_mean",
    "is": "inception_score_mean",
    "precision_inception": "precision",
    "recall_inception": "recall",
}


class Folders:
    """Two folders of images as RealData."""

    def __init__(self, splits: dict[str, torch.Tensor]) -> None:
        self.splits = splits
        shape = tuple(splits["train"].shape[1:])
        self.info = DataInfo("photographs", shape, None, {name: len(x) for name, x in splits.items()}, f"{shape}")

    def uint8_batches(self, split, batch_size=500):
        for part in self.splits[split].split(batch_size):
            yield part, None


def crops(name: str, n: int, side: int = 48) -> np.ndarray:
    """Return crops of a photograph from scikit-learn, uint8 [n, side, side, 3]."""
    photograph, random = load_sample_image(name), np.random.default_rng(0)
    corners = random.integers(0, np.array(photograph.shape[:2]) - side, (n, 2))
    return np.stack([photograph[y : y + side, x : x + side] for y, x in corners])


def folder(path: Path, images: np.ndarray, mode: str) -> torch.Tensor:
    """Write images as PNG, and return the files' pixels, uint8 [N, C, H, W]."""
    path.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).convert(mode).save(path / f"{index:03}.png")
    read = [np.asarray(Image.open(file)) for file in sorted(path.iterdir())]
    return torch.from_numpy(np.stack(read)).reshape(len(read), *read[0].shape[:2], -1).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    spec = importlib.util.spec_from_file_location("inception_weights", WEIGHTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = torch.from_numpy(np.concatenate([crops("china.jpg", 12), crops("flower.jpg", 12)])).permute(0, 3, 1, 2)
    return module.write(tmp_path_factory.mktemp("weights") / "calibrated.pth", images)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_scores_of_two_folders(mode, weights, tmp_path) -> None:
    real = folder(tmp_path / "real", crops("china.jpg", N), mode)
    mixed = np.concatenate([crops("flower.jpg", N - 10), crops("china.jpg", N + 10)[-10:]])
    fake = folder(tmp_path / "fake", mixed, mode)
    extractor = InceptionFeatures(str(weights), hashlib.sha256(weights.read_bytes()).hexdigest())
    data = Folders({"train": real, "held_out": fake[:2]})
    extractor.prepare(data, tmp_path)
    names = ("fid", "kid", "is", "precision")
    reference = RealStatistics.compute(data, extractor, tmp_path / "cache", n=N, metrics=names, splits=1)
    cards = Evaluator(extractor, reference, names, n=N, splits=1).score(fake.split(10), **AT)
    ours = {card.metric: card.value for card in cards}
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "fake"), input2=str(tmp_path / "real"), isc=True, fid=True, kid=True, prc=True,
        feature_extractor="inception-v3-compat", feature_extractor_weights_path=str(weights), cuda=False, cache=False,
        batch_size=12, isc_splits=1, kid_subsets=1, kid_subset_size=N, feature_layer_prc="2048", verbose=False,
    )  # fmt: skip
    assert ours["is"] > 1.2
    assert ours["fid"] > 1
    for name, key in THEIRS.items():
        assert ours[name] == pytest.approx(theirs[key], rel=1e-4), name
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    pool, logits = network(fake[:4].expand(-1, 3, -1, -1))
    features = extractor(fake[:4])
    torch.testing.assert_close(features.pool, pool, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.logits, logits, rtol=1e-4, atol=1e-4)
