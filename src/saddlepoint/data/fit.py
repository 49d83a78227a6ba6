"""Brings images of any size to the size that networks see, by a stated policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image

from saddlepoint.data.images import MAX_PIXELS, Channels, Pixels, pixels, to_channels
from saddlepoint.errors import UserError

Policy = Literal["pad", "crop", "resize"]

# Antialiased in Pillow whenever it shrinks, and computed on uint8: the kernel that evaluation protocols use, too.
KERNEL = Image.Resampling.BICUBIC
KERNEL_REACH = 2  # pixels on either side


@dataclass(frozen=True)
class Fit:
    """Size and channels that networks see, and how images get there.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 gray, 3 RGB, 4 RGBA.
        policy: ``pad`` centres the image on 0 (-1 to networks; the odd row and column go below and right) and never
            shrinks; ``crop`` resizes until the image just covers the size, then cuts out the centre; ``resize``
            stretches straight to the size.
    """

    height: int
    width: int
    channels: Channels
    policy: Policy

    @property
    def shape(self) -> tuple[int, int, int]:
        """The result's shape, (H, W, C)."""
        return self.height, self.width, self.channels

    def larger(self, margin: int) -> Fit:
        """Return the same for a size of ``margin`` more pixels in height and width."""
        return replace(self, height=self.height + margin, width=self.width + margin)

    def image(self, image: Image.Image, where: str) -> Pixels:
        """Fit one image whose channels are right: uint8 [H, W, C].

        Raises:
            UserError: it is too large for ``pad``.
        """
        size = self.width, self.height
        if image.size == size:
            return pixels(image)
        if self.policy == "pad":
            return self._pad(pixels(image)[None], where)[0]
        if self.policy == "resize":
            return pixels(image.resize(size, KERNEL))
        covering = self._covering(image)
        if covering[0] * covering[1] > MAX_PIXELS:  # a strip of 1 x 65535 would grow by the square of its length
            image = self._middle(image)
            covering = self._covering(image)
        left, top = (covering[0] - self.width) // 2, (covering[1] - self.height) // 2
        box = left, top, left + self.width, top + self.height
        return pixels(image.resize(covering, KERNEL).crop(box))

    def _covering(self, image: Image.Image) -> tuple[int, int]:
        """Return the smallest size, in the image's proportions, that covers the wanted one: (width, height)."""
        scale = max(self.width / image.width, self.height / image.height)
        return max(self.width, round(image.width * scale)), max(self.height, round(image.height * scale))

    def _middle(self, image: Image.Image) -> Image.Image:
        """Cut off before resizing what crop cuts off afterwards, except for the pixels that the kernel still reads."""
        scale = max(self.width / image.width, self.height / image.height)
        margin = math.ceil(KERNEL_REACH * max(1.0, 1 / scale))
        cut = [
            max((there - math.ceil(wanted / scale)) // 2 - margin, 0)
            for there, wanted in zip(image.size, (self.width, self.height), strict=True)
        ]
        return image.crop((cut[0], cut[1], image.width - cut[0], image.height - cut[1]))

    def arrays(self, values: Pixels, where: str) -> Pixels:
        """Fit a stack of images, uint8 [N, h, w, c], to uint8 [N, H, W, C]."""
        if values.shape[1:] == self.shape:
            return values
        if values.shape[3] == self.channels and self.policy == "pad":
            return self._pad(values, where)
        stack = (Image.fromarray(value[..., 0] if value.shape[2] == 1 else value) for value in values)
        return np.stack([self.image(to_channels(image, self.channels), where) for image in stack])

    def _pad(self, values: Pixels, where: str) -> Pixels:
        height, width = values.shape[1:3]
        self.check(height, width, where)
        top, left = (self.height - height) // 2, (self.width - width) // 2
        padded = np.zeros((len(values), *self.shape), dtype=np.uint8)
        padded[:, top : top + height, left : left + width] = values
        return padded

    def check(self, height: int, width: int, where: str) -> None:
        """Refuse an image that cannot be padded to the size.

        Raises:
            UserError: the policy is ``pad`` and the image is larger.
        """
        if self.policy == "pad" and (height > self.height or width > self.width):
            raise UserError(
                f"{where}: {height}x{width} does not fit into {self.height}x{self.width} by padding",
                "fit",
                "set crop or resize, or a larger image size",
            )
