"""The classifier of digits in each channel."""

import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.features import ChannelClassifierFeatures, ClassifierFeatures, extractor_from_state
from saddlepoint.metrics.features.channel_classifier import Channels, digits_of
from saddlepoint.metrics.modes import ClassModes
from saddlepoint.types import DataInfo


class Stacks:
    """Images of three of scikit-learn's digits, as RealData."""

    def __init__(self, digits) -> None:
        self.splits = {}
        for split, count in (("train", 500), ("held_out", 400)):
            images, labels = digits.splits[split]
            rows = torch.randint(len(images), (count, 3), generator=torch.Generator().manual_seed(count))
            self.splits[split] = images[rows, 0], labels[rows] @ torch.tensor([100, 10, 1])
        names = tuple(f"{number:03d}" for number in range(1000))
        self.info = DataInfo("stacks", (3, 8, 8), names, {"train": 500, "held_out": 400}, "stacks")

    def uint8_batches(self, split, batch_size=500):
        images, labels = self.splits[split]
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size], labels[start : start + batch_size]


@pytest.fixture
def stacks(digits):
    return Stacks(digits)


@pytest.fixture
def prepared(stacks, session_cache):
    extractor = ChannelClassifierFeatures()
    extractor.prepare(stacks, session_cache)
    return extractor


def test_channels_are_separate_images(stacks):
    channels = Channels(stacks)
    assert channels.info.sizes == {"train": 1500, "held_out": 1200}
    batches = list(channels.uint8_batches("held_out", 150))
    images, labels = (torch.cat([batch[i] for batch in batches]) for i in (0, 1))
    assert torch.equal(images.view(400, 3, 8, 8), stacks.splits["held_out"][0])
    assert torch.equal(labels.view(400, 3), digits_of(stacks.splits["held_out"][1]))


def test_logits_are_the_joint_distribution(prepared, stacks):
    images, labels = stacks.splits["held_out"]
    pool, logits = prepared(images)
    assert pool.shape == (400, 384)
    single = ClassifierFeatures.extract(prepared, images.flatten(0, 1)[:, None])
    p = single.logits.softmax(1).view(400, 3, 10)
    expected = torch.einsum("ni,nj,nk->nijk", p[:, 0], p[:, 1], p[:, 2]).flatten(1)
    torch.testing.assert_close(logits.softmax(1), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(pool[:, 128:256], single.pool[1::3])
    assert (logits.argmax(1) == labels).double().mean() > 0.9  # 97 % of single channels are correct


def test_modes_of_real_stacks_and_of_a_collapsed_sampler(prepared, stacks):
    images = stacks.splits["held_out"][0]
    real = Sample(logits=prepared(images).logits)
    modes, divergence = ClassModes().figures(real, {}, prepared)
    assert (modes.name, divergence.name) == ("modes_channel_classifier", "mode_kl_channel_classifier")
    assert modes.beside["expected"] == pytest.approx(1000 * (1 - 0.999**400))
    assert modes.value == pytest.approx(modes.beside["expected"], abs=30)
    assert divergence.value == pytest.approx(divergence.beside["floor"], abs=0.1)
    assert divergence.beside["confidence"] > 0.9
    collapsed = Sample(logits=real.logits[:7].repeat(60, 1))
    modes, divergence = ClassModes().figures(collapsed, {}, prepared)
    assert modes.value == len(real.logits[:7].argmax(1).unique())
    assert divergence.value > divergence.beside["floor"] + 3


def test_state_rebuilds_it(prepared, stacks, tmp_path):
    again = extractor_from_state(prepared.state(), tmp_path)
    assert isinstance(again, ChannelClassifierFeatures)
    assert again.version == prepared.version
    images = stacks.splits["train"][0][:20]
    torch.testing.assert_close(again(images).logits, prepared(images).logits)


def test_other_images_are_refused(digits, tmp_path):
    with pytest.raises(UserError) as caught:
        ChannelClassifierFeatures().prepare(digits, tmp_path)
    assert caught.value.problem.endswith("digits has 10 classes and shape [1, 8, 8]")
    assert caught.value.remedy == "choose the features classifier, inception or random"
