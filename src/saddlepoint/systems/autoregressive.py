"""van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.masked import Scan
from saddlepoint.networks.layers.pixels import drawn, nats_of
from saddlepoint.systems.capabilities import Draw, Export, LogLikelihood
from saddlepoint.systems.sampling import Sampling, evaluating
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, ImageBatch


class Autoregressive(Sampling):
    """A network that predicts each pixel from those before it, row by row, and the channels of a pixel in order.

    The log-likelihood log p(x) = Σ_i log p(x_i | x_1, …, x_{i-1}) (equation 1) is maximized and is exact. Each x_i is
    discrete: black or white with a Bernoulli distribution, or one of 256 intensities with a categorical one.

    Args:
        networks: ``decoder``, from images to the logits of all conditional distributions.
        game: see :class:`~saddlepoint.systems.game.Game`.
    """

    roles: Mapping[str, tuple[str, ...]] = {"decoder": ("decoder",)}
    averaged = ("decoder",)
    takes: ClassVar[tuple[type[Batch], ...]] = (ImageBatch,)

    decoder: nn.Module

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run one turn of the decoder."""
        if self.progress.rounds == 0:
            self.check(batch.samples)
        self.turn("decoder", loss=self.negative_log_likelihood, batch=batch)
        self.count_generator_update()

    def negative_log_likelihood(self, batch: Batch) -> Turn:
        """Return -log p(x), averaged over the batch, in nats."""
        nats = nats_of(self.decoder(batch.samples), batch.samples).flatten(1).sum(1)
        return Turn(-nats.mean(), self.networks, self.random, real=batch.samples, labels=batch.labels)

    def check(self, images: Tensor) -> None:
        """Check that images are binary if the likelihood is Bernoulli.

        Raises:
            UserError: if they are not.
        """
        if self.binary and not bool((images.abs() == 1).all()):
            problem = "bernoulli is for images of black and white pixels, and these images have other intensities"
            raise UserError(problem, "network.likelihood", "choose categorical, or data=binarised_mnist")

    @property
    def binary(self) -> bool:
        """Whether pixels are black or white."""
        return self.decoder.likelihood == "bernoulli"

    # Public interface ----------------------------------------------------------------------------------------------

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return a uniform number for each channel of each pixel, [count, C, H, W], keyed by (seed, sample index)."""
        if truncation != 1.0:
            raise UserError("autoregressive models have no latents", "truncation", "leave it out")
        shape: tuple[int, ...] = self.decoder.shape  # type: ignore[assignment]
        return Draw(
            randomness.rows(lambda n, random: torch.rand(n, *shape, generator=random), seed, "sample", start, count)
        )

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Return images, pixel by pixel, from the inverse of each conditional distribution function."""
        canvas = torch.zeros_like(draw.latents)
        return self.fill(canvas, torch.zeros_like(canvas[:1, :1], dtype=torch.bool), draw.latents, ema)

    @torch.no_grad()
    def complete(self, images: Tensor, known: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return images with the pixels that are not known drawn in order, each given all pixels before it.

        The known pixels that come after a drawn one do not influence it.

        Args:
            images: [N, C, H, W] in [-1, 1].
            known: bool [1 or N, 1, H, W].
            seed: of the draws.
            ema: whether to use the averaged weights, if they exist.

        Raises:
            UserError: the model is one of binary images, and known pixels are not black or white.
        """
        if self.binary and not bool((images.abs() == 1).logical_or(~known.to(images.device)).all()):
            problem = "the model is one of black and white pixels, and these images have other intensities"
            raise UserError(problem, "images", "make them black and white")
        uniform = self.draw(seed, 0, len(images)).latents.to(self.device)
        return self.fill(images.to(self.device).clone(), known.to(self.device), uniform, ema)

    def fill(self, canvas: Tensor, known: Tensor, uniform: Tensor, ema: bool) -> Tensor:
        """Draw the pixels of ``canvas``, [N, C, H, W], that are not known, in place, and return it.

        Args:
            canvas: images, of which the known pixels are kept.
            known: bool [1 or N, 1, H, W].
            uniform: draws from U[0, 1), [N, C, H, W].
            ema: whether to use the averaged weights, if they exist.
        """
        channels, height, width = canvas.shape[1:]
        network, scan = self.network("decoder", ema), Scan(height, width)
        kept, whole = canvas.clone(), known.all(0).all(0).tolist()
        with evaluating(network):
            for scan.row in range(height):
                for scan.column in range(width):
                    at = (slice(None), slice(None), slice(scan.row, scan.row + 1), slice(scan.column, scan.column + 1))
                    given = known[at]
                    for channel in range(1 if whole[scan.row][scan.column] else channels):
                        values = drawn(network(canvas, scan), uniform[at])
                        canvas[at][:, channel] = torch.where(given, kept[at], values)[:, channel]
        return canvas

    def likelihood_is_exact(self) -> bool:
        """Return True."""
        return True

    @torch.no_grad()
    def log_likelihood(self, samples: Tensor, importance: int = 0, seed: int = 0, ema: bool = True) -> LogLikelihood:
        """Return the exact log p(x) of each sample.

        Args:
            samples: [N, C, H, W]; their intensities are rounded to the nearest that the model knows.
            importance: ignored, since the value is exact.
            seed: likewise.
            ema: whether to use the averaged weights, if they exist.
        """
        self.check(samples)
        network = self.network("decoder", ema)
        with evaluating(network), torch.autocast(samples.device.type, enabled=False):
            nats = nats_of(network(samples), samples).double().flatten(1).sum(1)
        return LogLikelihood(nats, "exact", samples[0].numel(), levels=2 if self.binary else 256)

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the decoder."""
        images = torch.zeros(2, *self.decoder.shape)  # type: ignore[misc]
        return {"decoder": self.export("decoder", {"images": images}, ("logits",), ema)}
