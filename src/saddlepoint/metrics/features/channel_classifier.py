"""Features of stacked digits: a classifier of single digits, applied to each channel (Metz et al. 2017).

A classifier of all thousand classes would have only sixty training images of each; one of ten digits is almost perfect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics.features.base import Features
from saddlepoint.metrics.features.classifier import ClassifierFeatures
from saddlepoint.metrics.features.training import ACTIVATION, DIM
from saddlepoint.metrics.rows import RealData
from saddlepoint.types import DataInfo, Split

CHANNELS = 3
DIGITS = 10
MOST = 20_000
"""Number of stacks whose channels the classifier is trained and tested on: as many digits as MNIST has."""


class Channels:
    """A data set of the channels of stacked digits, as gray images labelled 0 to 9.

    Args:
        real: images of three channels whose label is the number formed by their digits, the first channel's first.
    """

    def __init__(self, real: RealData) -> None:
        self.real = real
        info = real.info
        self.info: DataInfo = dataclasses.replace(
            info,
            name=f"{info.name}'s channels",
            shape=(1, *info.shape[1:]),
            class_names=tuple(str(digit) for digit in range(DIGITS)),
            sizes={split: CHANNELS * min(size, MOST) for split, size in info.sizes.items()},
            fingerprint=f"{info.fingerprint} channels",
        )

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each stack's channels in turn, uint8 [3N, 1, H, W], and their digits, long [3N]."""
        left = MOST
        for images, labels in self.real.uint8_batches(split, batch_size):
            assert labels is not None
            images, labels = images[:left], labels[:left]
            left -= len(images)
            yield images.flatten(0, 1)[:, None], digits_of(labels).flatten()
            if left == 0:
                return


class ChannelClassifierFeatures(ClassifierFeatures):
    """3·128 features, channel by channel, and 1000 logits: the joint log-probabilities of three digits."""

    name = "channel_classifier"
    predicts_labels = False
    counts_modes = True
    dim = CHANNELS * DIM
    activation = CHANNELS * ACTIVATION

    def prepare(self, real: RealData, cache_dir: Path) -> None:
        """Load the classifier of single channels from the cache, or train it, which takes about a minute.

        Raises:
            UserError: the images are not stacked digits, or the classifier's accuracy is too low.
        """
        if not real.info.is_image or real.info.shape[0] != CHANNELS or real.info.num_classes != DIGITS**CHANNELS:
            raise UserError(
                f"the channel classifier needs images of three channels and a thousand classes, as Stacked MNIST has; "
                f"{real.info.name} has {real.info.num_classes} classes and shape {list(real.info.shape)}",
                None,
                "choose the features classifier, inception or random",
            )
        super().prepare(Channels(real), cache_dir)

    def extract(self, images: Tensor) -> Features:
        """Return pooled features and logits of [N, 3, H, W]."""
        pool, logits = self._ready()(images.flatten(0, 1)[:, None])
        digit = logits.float().log_softmax(1).view(len(images), CHANNELS, DIGITS)
        joint = digit[:, 0, :, None, None] + digit[:, 1, None, :, None] + digit[:, 2, None, None, :]
        return Features(pool.view(len(images), -1), joint.flatten(1))


def digits_of(labels: Tensor) -> Tensor:
    """Return the three digits of each of the labels [N], long [N, 3].

    >>> digits_of(torch.tensor([407]))
    tensor([[4, 0, 7]])
    """
    return torch.stack([labels // 100, labels // 10 % 10, labels % 10], 1)
