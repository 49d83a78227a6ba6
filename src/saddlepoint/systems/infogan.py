"""Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing", arXiv:1606.03657."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems.capabilities import Draw, Export, Picture
from saddlepoint.systems.codes import Codes, negative_log_categorical, negative_log_normal
from saddlepoint.systems.gan import GAN
from saddlepoint.systems.sampling import evaluating
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, CriticOutput

TRAVERSED = 10
"""Steps of a traversal, and rows of noise beneath each other."""
REACH = 2.0
"""Continuous codes are traversed from -2 to 2, beyond the [-1, 1] they were drawn from (figure 2)."""


class InfoGAN(GAN):
    """A GAN whose codes c can be read off its samples: min_{G,Q} max_D V(D, G) - λ L_I(G, Q) (equation 6).

    L_I = E log Q(c|G(z, c)) + H(c) is a lower bound of the mutual information I(c; G(z, c)) (equation 5). Q is a head
    on D's trunk: it reads D's features. Its Gaussian of continuous codes has a variance of 1, as in the published code
    for MNIST.

    Paper and published code differ in who learns from L_I:

    - ``information="discriminator"``, as in the code: D, its trunk and Q in D's turn, and G in its own;
    - ``information="generator"``, as in equation 6: Q's head together with G in G's turn; the trunk never does.

    The parts of L_I are logged in nats as ``information_categorical`` and ``information_continuous``.

    Args:
        networks: ``generator``, ``discriminator`` and ``recognition``, from D's features to the parameters of Q.
        latent_dim: values of z and c together; what the codes leave is noise.
        prior: of the noise, uniform on [-1, 1]; there is no other.
        categories: number of categories of each categorical code.
        continuous: number of continuous codes.
        information: in whose turn Q learns.
        information_weight: λ for categorical codes, 1 in the paper.
        continuous_weight: λ for continuous codes; smaller on harder data than MNIST (appendix C).
        gan: see :class:`~saddlepoint.systems.gan.GAN`.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "discriminator": ("discriminator",),
        "generator": ("generator",),
        "recognition": ("recognition",),
    }

    recognition: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        latent_dim: PositiveInt = 74,
        prior: Literal["uniform"] = "uniform",
        categories: Sequence[PositiveInt] = (10,),
        continuous: NonNegativeInt = 2,
        information: Literal["discriminator", "generator"] = "discriminator",
        information_weight: NonNegativeFloat = 1.0,
        continuous_weight: NonNegativeFloat = 1.0,
        **gan: Any,
    ) -> None:
        super().__init__(networks, latent_dim=latent_dim, prior=prior, **gan)
        self.codes = Codes(latent_dim - sum(categories) - continuous, tuple(categories), continuous)
        if self.codes.noise < 1:
            raise UserError(
                f"{sum(categories) + continuous} values of codes leave no noise among {latent_dim} latents",
                "latent_dim",
            )
        if self.num_classes:
            raise UserError("InfoGAN's generator takes codes, no labels", "generator.conditioning", "set it to none")
        self.information = information
        self.information_weight, self.continuous_weight = information_weight, continuous_weight

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Play a turn of D; then one of G, when it is due. Q learns together with one of them."""
        with_critic = ("recognition",) if self.information == "discriminator" else ()
        with_generator = ("recognition",) if self.information == "generator" else ()
        self.turn("discriminator", *with_critic, loss=self.discriminator_loss, batch=batch)
        if self.generator_is_due():
            self.turn("generator", *with_generator, loss=self.generator_loss, batch=batch)
            self.count_generator_update()

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return D's objective, less λ L_I where Q learns with D."""
        record = super().discriminator_loss(batch)
        return self.less_information(record) if self.information == "discriminator" else record

    def generator_loss(self, batch: Batch) -> Turn:
        """Return G's objective less λ L_I."""
        return self.less_information(super().generator_loss(batch))

    def less_information(self, record: Turn) -> Turn:
        """Subtract the bound of the mutual information between a turn's codes and its fakes from the turn's loss."""
        _, categories, continuous = self.codes.unpack(record.latents)
        read = self.recognition(record.outputs["fake"].features)
        logits = [at_least_float32(one) for one in read.categorical]
        missing = {"categorical": negative_log_categorical(logits, categories)}
        loss = record.loss + self.information_weight * missing["categorical"]
        if self.codes.continuous:
            missing["continuous"] = negative_log_normal(at_least_float32(read.mean), continuous)
            loss = loss + self.continuous_weight * missing["continuous"]
        for kind, value in missing.items():
            record.logs[f"information_{kind}"] = self.codes.entropy[kind] - value.detach()
        record.loss = loss
        return record

    def draw_latents(self, n: int) -> Tensor:
        """Draw noise and codes, [n, Z], for this turn."""
        return self.codes.draw(n, self.random)

    # What others may ask -------------------------------------------------------------------------------------------

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return noise and codes keyed by (seed, sample index).

        Raises:
            UserError: a truncation was asked for, which codes do not have.
        """
        if truncation != 1:
            raise UserError("InfoGAN's latents hold codes, which cannot be truncated", "truncation", "set it to 1")
        return Draw(self.codes.keyed(seed, start, count))

    @torch.no_grad()
    def infer_codes(self, samples: Tensor) -> Tensor:
        """Return the likeliest category of the first categorical code, long [N], of samples [N, ...]."""
        with evaluating(self.discriminator, self.recognition):
            output: CriticOutput = self.discriminator(samples, None)
            inferred: Tensor = self.recognition(output.features).categorical[0].argmax(1)
        return inferred

    def traverse(self, index: int, columns: int, seed: int, ema: bool = True) -> Tensor:
        """Generate rows in which one code varies and all else stays the same.

        Args:
            index: of the code: categorical ones first, then continuous ones.
            columns: values of the code: its categories, or as many steps from -2 to 2.
            seed: of the table whose first latents the rows take.
            ema: from the averaged weights.

        Returns:
            Float [10 · columns, ...], row by row.
        """
        noise, categories, continuous = self.codes.unpack(self.codes.keyed(seed, 0, TRAVERSED))
        noise, continuous = (one.repeat_interleave(columns, 0) for one in (noise, continuous))
        categories = [one.repeat_interleave(columns) for one in categories]
        if index < len(categories):
            categories[index] = torch.arange(columns).repeat(TRAVERSED)
        else:
            continuous[:, index - len(categories)] = torch.linspace(-REACH, REACH, columns).repeat(TRAVERSED)
        return self.sample(len(noise), latents=self.codes.pack(noise, categories, continuous), ema=ema)

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Picture]:
        """Return samples, and a traversal of each code: a row a draw of all else, a column a value of the code."""
        shown = dict(super().pictures(n, seed, held_out))
        columns = [*self.codes.categories, *[TRAVERSED] * self.codes.continuous]
        for index, count in enumerate(columns):
            shown[f"traversal_{index + 1}"] = Picture(self.traverse(index, count, seed), count)
        return shown

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator, and what reads codes: the discriminator and the recognition head."""
        samples = torch.zeros(2, *self.discriminator.shape)  # type: ignore[misc]
        features = torch.zeros(2, int(self.recognition.features))  # type: ignore[arg-type]
        codes = (*(f"categorical_{i + 1}" for i in range(len(self.codes.categories))), "mean", "log_variance")
        return {
            **super().exports(ema),
            "discriminator": self.export("discriminator", {"samples": samples}, ("logits", "features"), ema),
            "recognition": self.export("recognition", {"features": features}, codes, ema),
        }
