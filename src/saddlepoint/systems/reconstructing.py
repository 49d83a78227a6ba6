"""Systems that encode samples and decode codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from saddlepoint.systems import completion
from saddlepoint.systems.capabilities import Draw, Shown, rows_of
from saddlepoint.systems.sampling import Sampling, evaluating
from saddlepoint.types import Batch


class Reconstructing(Sampling):
    """A system with an encoder and a decoder, which generates the decoder's samples of codes from the prior.

    Attributes:
        decoder_role: role of the network that decodes.
    """

    decoder_role: ClassVar[str] = "decoder"

    def code_of(self, encoded: Any) -> Tensor:
        """Return the code, [N, Z], of the encoder's output; by default the output itself."""
        code: Tensor = encoded
        return code

    def samples_of(self, decoded: Any) -> Tensor:
        """Return the samples, [N, ...], of the decoder's output; by default the output itself."""
        samples: Tensor = decoded
        return samples

    @torch.no_grad()
    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        """Return codes [N, Z] of samples [N, ...]."""
        network = self.network("encoder", ema)
        with evaluating(network):
            return self.code_of(network(samples.to(self.device)))

    @torch.no_grad()
    def decode(self, codes: Tensor, ema: bool = True) -> Tensor:
        """Return samples [N, ...] of codes [N, Z]."""
        network = self.network(self.decoder_role, ema)
        with evaluating(network):
            return self.samples_of(network(codes.to(self.device)))

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Return the decoder's samples."""
        return self.decode(draw.latents, ema)

    @torch.no_grad()
    def complete(self, images: Tensor, known: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return completions of images [N, C, H, W]; see :func:`completion.by_reconstruction`. The seed is ignored."""
        images, known = images.to(self.device), known.to(self.device)
        return completion.by_reconstruction(lambda x: self.decode(self.encode(x, ema), ema), images, known)

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return samples, and a picture with rows of real images and their reconstructions."""
        shown = dict(super().pictures(n, seed, held_out))
        if held_out is not None:
            real = held_out.samples[: max(n // 2, 1)]
            shown["reconstructions"] = rows_of(real, self.decode(self.encode(real)))
        return shown
