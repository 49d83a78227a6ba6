"""Fitting of images to the networks' input size by padding, cropping or resizing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image

from saddlepoint.data.images import MAX_PIXELS, Channels, Pixels, pixels, to_channels
from saddlepoint.errors import UserError

Policy = Literal["pad", "crop", "resize"]

# The kernel of evaluation protocols. Pillow antialiases when it shrinks an image, and computes on uint8.
KERNEL = Image.Resampling.BICUBIC
KERNEL_REACH = 2  # pixels on each side


@dataclass(frozen=True)
class Fit:
    """The target size and channels of images, and the policy for images of another size.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 for gray, 3 for RGB, 4 for RGBA.
        policy: ``pad`` centres the image on a background of 0 (-1 after normalization), with any odd row or column
            below and to the right, and rejects larger images; ``crop`` resizes the image to the smallest size that
            covers the target and crops the centre; ``resize`` ignores the aspect ratio.
    """

    height: int
    width: int
    channels: Channels
    policy: Policy

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the fitted images, (H, W, C)."""
        return self.height, self.width, self.channels

    def larger(self, margin: int) -> Fit:
        """Return a copy whose height and width are larger by ``margin`` pixels."""
        return replace(self, height=self.height + margin, width=self.width + margin)

    def image(self, image: Image.Image, where: str) -> Pixels:
        """Fit one image that already has the target's channels: uint8 [H, W, C].

        Raises:
            UserError: the image is too large for ``pad``.
        """
        size = self.width, self.height
        if image.size == size:
            return pixels(image)
        if self.policy == "pad":
            return self._pad(pixels(image)[None], where)[0]
        if self.policy == "resize":
            return pixels(image.resize(size, KERNEL))
        covering = self._covering(image)
        if covering[0] * covering[1] > MAX_PIXELS:  # such as for a strip of 1 x 65535 pixels
            image = self._middle(image)
            covering = self._covering(image)
        left, top = (covering[0] - self.width) // 2, (covering[1] - self.height) // 2
        box = left, top, left + self.width, top + self.height
        return pixels(image.resize(covering, KERNEL).crop(box))

    def _covering(self, image: Image.Image) -> tuple[int, int]:
        """Return the smallest size, (width, height), with the image's aspect ratio that covers the target size."""
        scale = max(self.width / image.width, self.height / image.height)
        return max(self.width, round(image.width * scale)), max(self.height, round(image.height * scale))

    def _middle(self, image: Image.Image) -> Image.Image:
        """Crop an image before resizing to the part that ``crop`` keeps, plus the margin that the kernel reads."""
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
        """Check that an image of this size can be fitted.

        Raises:
            UserError: the policy is ``pad`` and the image is larger.
        """
        if self.policy == "pad" and (height > self.height or width > self.width):
            raise UserError(
                f"{where}: {height}x{width} does not fit into {self.height}x{self.width} by padding",
                "fit",
                "set crop or resize, or a larger image size",
            )
