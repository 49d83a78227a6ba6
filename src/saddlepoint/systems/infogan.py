"""InfoGAN.

Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets", arXiv:1606.03657.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems.capabilities import Draw, Export, Picture, Shown
from saddlepoint.systems.codes import Codes, negative_log_categorical, negative_log_normal
from saddlepoint.systems.gan import GAN
from saddlepoint.systems.sampling import evaluating
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, CriticOutput

TRAVERSED = 10
"""Number of rows of a traversal, each with different noise, and of values of a continuous code."""
REACH = 2.0
"""Continuous codes are traversed from -2 to 2, beyond their support in training, [-1, 1] (figure 2)."""


class InfoGAN(GAN):
    """A GAN with codes c that can be inferred from samples: min_{G,Q} max_D V(D, G) - λ L_I(G, Q) (equation 6).

    L_I = E log Q(c|G(z, c)) + H(c) is a lower bound on the mutual information I(c; G(z, c)) (equation 5). Q is a head
    on D's features. Its Gaussian of the continuous codes has unit variance, as in the published code for MNIST.

    The paper and its published code differ in the networks that are trained on L_I:

    - ``information="discriminator"``, as in the code: D (including the features) and Q in D's turn, G in its own turn;
    - ``information="generator"``, as in equation 6: Q and G in G's turn; D is not trained on L_I.

    The terms of L_I are logged in nats as ``information_categorical`` and ``information_continuous``.

    Args:
        networks: ``generator``, ``discriminator`` and ``recognition``, from D's features to the parameters of Q.
        latent_dim: dimension of z and c together; dimensions that are not codes are noise.
        prior: distribution of the noise, always uniform on [-1, 1].
        categories: number of categories of each categorical code.
        continuous: number of continuous codes.
        information: the player in whose turn Q is trained.
        information_weight: λ of categorical codes, 1 in the paper.
        continuous_weight: λ of continuous codes; below 1 for data other than MNIST (appendix C).
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
                f"must exceed the {sum(categories) + continuous} dimensions of the codes, got {latent_dim}",
                "latent_dim",
            )
        if self.num_classes:
            raise UserError("InfoGAN's generator does not take labels", "generator.conditioning", "set it to none")
        self.information = information
        self.information_weight, self.continuous_weight = information_weight, continuous_weight

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run a turn of D, then a turn of G if it is due; Q is updated in one of them."""
        with_critic = ("recognition",) if self.information == "discriminator" else ()
        with_generator = ("recognition",) if self.information == "generator" else ()
        self.turn("discriminator", *with_critic, loss=self.discriminator_loss, batch=batch)
        if self.generator_is_due():
            self.turn("generator", *with_generator, loss=self.generator_loss, batch=batch)
            self.count_generator_update()

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return D's objective, minus λ L_I if Q is trained in D's turn."""
        record = super().discriminator_loss(batch)
        return self.less_information(record) if self.information == "discriminator" else record

    def generator_loss(self, batch: Batch) -> Turn:
        """Return G's objective minus λ L_I."""
        return self.less_information(super().generator_loss(batch))

    def less_information(self, record: Turn) -> Turn:
        """Return the record of a turn with λ L_I of its generated samples subtracted from its loss."""
        _, categories, continuous = self.codes.unpack(record.latents)
        read = self.recognition(record.outputs["fake"].features)
        loss, missing = record.loss, {}
        if self.codes.categories:
            logits = [at_least_float32(one) for one in read.categorical]
            missing["categorical"] = negative_log_categorical(logits, categories)
            loss = loss + self.information_weight * missing["categorical"]
        if self.codes.continuous:
            missing["continuous"] = negative_log_normal(at_least_float32(read.mean), continuous)
            loss = loss + self.continuous_weight * missing["continuous"]
        for kind, value in missing.items():
            record.logs[f"information_{kind}"] = self.codes.entropy[kind] - value.detach()
        record.loss = loss
        return record

    def draw_latents(self, n: int) -> Tensor:
        """Return noise and codes, [n, Z], drawn from the turn's generator."""
        return self.codes.draw(n, self.random)

    # Public interface ----------------------------------------------------------------------------------------------

    @property
    def described_prior(self) -> str:
        """What the latents consist of, for exports."""
        hot = "".join(f", one-hot of {count}" for count in self.codes.categories)
        uniform = f", uniform of {self.codes.continuous}" if self.codes.continuous else ""
        return f"uniform of {self.codes.noise}{hot}{uniform}"

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return noise and codes keyed by (seed, sample index).

        Raises:
            UserError: a truncation was asked for, which codes do not have.
        """
        if truncation != 1:
            raise UserError("InfoGAN's latents hold codes, which cannot be truncated", "truncation", "set it to 1")
        return Draw(self.codes.keyed(seed, start, count))

    def has_discrete_codes(self) -> bool:
        """Return whether there are categorical codes."""
        return len(self.codes.categories) > 0

    @torch.no_grad()
    def infer_codes(self, samples: Tensor, ema: bool = True) -> Tensor:
        """Return the most likely category of the first categorical code, long [N], of samples [N, ...].

        The networks have no averaged weights, so ``ema`` is ignored.
        """
        with evaluating(self.discriminator, self.recognition):
            output: CriticOutput = self.discriminator(samples, None)
            inferred: Tensor = self.recognition(output.features).categorical[0].argmax(1)
        return inferred

    @property
    def traversable(self) -> int:
        """Number of codes; categorical codes come first, then continuous ones."""
        return len(self.codes.categories) + self.codes.continuous

    def traverse(self, index: int, rows: int, columns: int, seed: int, ema: bool = True) -> Tensor:
        """Return rows of samples in which one code varies and the noise and the other codes are fixed.

        Args:
            index: index of the code; categorical codes come first, then continuous ones.
            rows: number of rows, each with different noise and other codes.
            columns: number of values of the code: categories 0, 1, …, repeated if there are fewer, or equally spaced
                values in [-2, 2].
            seed: seed of the latents of the rows.
            ema: whether to use the averaged weights.

        Returns:
            Float [rows · columns, ...], in row-major order.
        """
        noise, categories, continuous = self.codes.unpack(self.codes.keyed(seed, 0, rows))
        noise, continuous = (one.repeat_interleave(columns, 0) for one in (noise, continuous))
        categories = [one.repeat_interleave(columns) for one in categories]
        if index < len(categories):
            categories[index] = (torch.arange(columns) % self.codes.categories[index]).repeat(rows)
        else:
            continuous[:, index - len(categories)] = torch.linspace(-REACH, REACH, columns).repeat(rows)
        return self.sample(len(noise), latents=self.codes.pack(noise, categories, continuous), ema=ema)

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return samples and a traversal of each code, with one column per value of the code."""
        shown = dict(super().pictures(n, seed, held_out))
        columns = [*self.codes.categories, *[TRAVERSED] * self.codes.continuous]
        for index, count in enumerate(columns):
            shown[f"traversal_{index + 1}"] = Picture(self.traverse(index, TRAVERSED, count, seed), count)
        return shown

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator, and the discriminator and recognition head, which infer codes."""
        samples = torch.zeros(2, *self.discriminator.shape)  # type: ignore[misc]
        features = torch.zeros(2, int(self.recognition.features))  # type: ignore[arg-type]
        codes = (*(f"categorical_{i + 1}" for i in range(len(self.codes.categories))), "mean", "log_variance")
        return {
            **super().exports(ema),
            "discriminator": self.export("discriminator", {"samples": samples}, ("logits", "features"), ema),
            "recognition": self.export("recognition", {"features": features}, codes, ema),
        }
