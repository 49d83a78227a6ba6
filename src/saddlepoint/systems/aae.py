"""Makhzani et al. 2015, "Adversarial Autoencoders", arXiv:1511.05644."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.aae import AAEEncoder
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems import code_priors
from saddlepoint.systems.adversarial import Adversarial
from saddlepoint.systems.capabilities import Draw, Export, Scatter, Shown
from saddlepoint.systems.code_priors import PriorName
from saddlepoint.systems.latents import Prior
from saddlepoint.systems.reconstructing import Reconstructing
from saddlepoint.turns import Critic, Turn
from saddlepoint.types import Batch

DRAWN = 2000
"""Number of draws of the prior that are shown behind the codes of held-out samples."""


class Comparison(NamedTuple):
    """A critic, draws of the prior [N, Z], codes [N, Z], and the labels of both, long [N] or None."""

    critic: nn.Module
    drawn: Tensor
    codes: Tensor
    labels: Tensor | None


class AAE(Reconstructing, Adversarial):
    """An autoencoder whose codes are trained to follow a prior p(z) by a discriminator D of codes (section 2).

    A round has three turns on one batch. Each has its own optimizer state, as the encoder's gradients differ in scale:

    - reconstruction, of encoder E and decoder: ½ ‖x - decoder(E(x))‖², of intensities in [0, 1];
    - regularization, of D: -log D(z) - log(1 - D(E(x))), z ~ p(z);
    - regularization, of E: -log D(E(x)).

    The encoder is deterministic, as in the paper's experiments. Labels may be used in two ways:

    - ``labels="prior"`` (section 2.3): class k of K is to have part k of the prior. D takes a one-hot label of K + 1
      classes besides the code. With ``labelled`` set, the other samples have label K, for which codes are drawn from
      the whole prior;
    - ``labels="semi"``: the system is a :class:`~saddlepoint.systems.aae_semi.SemiSupervisedAAE`.

    Args:
        networks: ``encoder``, ``decoder`` and ``discriminator``, and for ``semi`` also ``category_discriminator``.
        loss: the objectives of D and of E as its generator; the paper's is ``NonSaturating``.
        latent_dim: dimension Z of the continuous code; 2 for priors other than ``gaussian``.
        prior: distribution of the continuous code: ``gaussian`` for N(0, I), or ``mixture`` or ``swiss_roll``.
        labels: how labels are used, ``none``, ``prior`` or ``semi``.
        labelled: number of training samples whose labels are used, see
            :func:`saddlepoint.data.labelled.balanced_rows`; None for all.
        noise: standard deviation of normal noise that is added to the encoder's input in training, as a fraction of the
            range of intensities; 0.3 in the paper for ``semi``.
        adversarial: other arguments; see :class:`~saddlepoint.systems.adversarial.Adversarial`.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "autoencoder": ("encoder", "decoder"),
        "discriminator": ("discriminator",),
        "encoder": ("encoder",),
    }
    averaged: Sequence[str] = ("encoder", "decoder")
    prior: Prior = "normal"  # for interpolation: all priors have the norm of the normal distribution
    encoder_outputs: tuple[str, ...] = ("latents",)

    encoder: nn.Module
    decoder: nn.Module
    known_samples: Tensor
    known_labels: Tensor

    def __new__(cls, *args: Any, labels: str = "none", **options: Any) -> AAE:
        """Return a :class:`SemiSupervisedAAE` for ``labels="semi"``, since it has further capabilities."""
        if labels == "semi":
            from saddlepoint.systems.aae_semi import SemiSupervisedAAE  # a subclass of this class

            cls = SemiSupervisedAAE
        return super().__new__(cls)

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        *,
        latent_dim: PositiveInt = 8,
        prior: PriorName = "gaussian",
        labels: Literal["none", "prior", "semi"] = "none",
        labelled: PositiveInt | None = None,
        noise: NonNegativeFloat = 0.0,
        **adversarial: Any,
    ) -> None:
        if adversarial.get("augments"):
            raise UserError("an adversarial autoencoder's critic judges codes, not images", "augments", "leave it out")
        owned = {role for roles in self.roles.values() for role in roles}
        used = {
            role: network for role, network in networks.items() if role in owned or role != "category_discriminator"
        }
        super().__init__(used, loss=loss, **adversarial)
        if not isinstance(self.encoder, AAEEncoder):
            raise UserError("AAE needs a deterministic encoder", "networks.encoder", "choose network aae")
        if prior != "gaussian" and latent_dim != 2:
            raise UserError(f"prior '{prior}' has two dimensions, got {latent_dim}", "latent_dim", "set it to 2")
        if labels == "prior" and prior == "gaussian":
            problem = "'prior' requires a prior with one part for each class, and 'gaussian' has only one part"
            raise UserError(problem, "labels", "choose the prior mixture or swiss_roll")
        if labels == "none" and labelled is not None:
            raise UserError("labels are not used", "labelled", "leave it out, or set labels to prior or semi")
        self.latent_dim, self.code_prior, self.labelled, self.noise = latent_dim, prior, labelled, noise
        self.parts = int(getattr(self.discriminator, "num_classes", 0)) or code_priors.COMPONENTS
        self.uses_labels = labels == "prior"

    def set_labelled(self, batch: Batch) -> None:
        """Set the labelled training samples, which are not part of checkpoints."""
        assert batch.labels is not None
        self.register_buffer("known_samples", batch.samples, persistent=False)
        self.register_buffer("known_labels", batch.labels, persistent=False)

    @property
    def described_prior(self) -> str:
        """The distribution of the codes, for exports."""
        return "normal" if self.code_prior == "gaussian" else self.code_prior

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run the turn of reconstruction, then the turns of regularization: D's, and E's if it is due."""
        self.turn("autoencoder", loss=self.reconstruction_loss, batch=batch)
        self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
        if self.generator_is_due():
            self.turn("encoder", loss=self.encoder_loss, batch=batch)
            self.count_generator_update()

    def reconstruction_loss(self, batch: Batch) -> Turn:
        """Return ½ ‖x - decoder(E(x))‖², averaged over the batch."""
        x = batch.samples
        code = self.code_of(self.encoder(self.noisy(x)))
        error = (at_least_float32(x) - at_least_float32(self.decoder(code))) / 2  # intensities have a range of 1
        loss = error.square().flatten(1).sum(1).mean() / 2
        return Turn(loss, self.networks, self.random, real=x, latents=code, labels=batch.labels)

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return D's objective on draws of the prior and as many codes."""
        with torch.no_grad():
            compared = list(self.compared(batch))
        return self.judged(compared, self.loss.discriminator)

    def encoder_loss(self, batch: Batch) -> Turn:
        """Return the objective of E as a generator of codes."""
        return self.judged(list(self.compared(batch)), lambda real, fake: self.loss.generator(fake, real))

    def compared(self, batch: Batch) -> Iterable[Comparison]:
        """Yield what each critic compares in a turn."""
        x, labels = batch.samples, None
        if self.uses_labels:
            x, labels = self.with_labels(batch)
        codes = self.encoder(self.noisy(x)).style
        yield Comparison(self.discriminator, self.draw_prior(len(x), labels), codes, labels)

    def judged(self, compared: Sequence[Comparison], objective: Any) -> Turn:
        """Return the record of a turn: the sum of the objectives of all critics; regularizers see the first one."""
        losses, judgements = [], []
        for one in compared:
            judgements.append(self.judge(one.drawn, one.codes, one.labels, one.critic))
            losses.append(objective(*(self.of_all_ranks(output) for output in judgements[-1])))
        first = compared[0]
        return Turn(
            torch.stack(losses).sum(),
            self.networks,
            self.random,
            real=first.drawn,
            fake=first.codes,
            labels=first.labels,
            critic=Critic(first.critic, first.labels),
            outputs=dict(zip(("real", "fake"), judgements[0], strict=True)),
        )

    def draw_prior(self, n: int, labels: Tensor | None = None) -> Tensor:
        """Return draws of the prior, [n, Z], from the turn's generator."""
        return code_priors.draw(self.code_prior, n, self.latent_dim, self.random, self.parts, labels)

    def noisy(self, x: Tensor) -> Tensor:
        """Return the encoder's input in training."""
        if self.noise == 0:
            return x
        return x + 2 * self.noise * torch.randn(x.shape, generator=self.random, device=x.device, dtype=x.dtype)

    def code_of(self, encoded: Any) -> Tensor:
        """Return the code that the decoder takes, of the encoder's output."""
        code: Tensor = encoded.style
        return code

    def with_labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return samples and their labels: of the batch; or of labelled samples and of the batch without its labels."""
        assert batch.labels is not None
        if self.labelled is None:
            return batch.samples, batch.labels
        x, labels = self.draw_labelled(len(batch))
        return torch.cat([x, batch.samples]), torch.cat([labels, torch.full_like(batch.labels, self.parts)])

    def draw_labelled(self, n: int) -> tuple[Tensor, Tensor]:
        """Return n of the labelled samples and their labels, drawn with replacement from the turn's generator."""
        rows = torch.randint(len(self.known_labels), (n,), generator=self.random, device=self.known_labels.device)
        return self.known_samples[rows], self.known_labels[rows]

    # Public interface ----------------------------------------------------------------------------------------------

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return codes from the prior, keyed by (seed, sample index).

        Raises:
            UserError: a truncation was asked for, and the prior is not Gaussian.
        """
        if truncation != 1 and self.code_prior != "gaussian":
            raise UserError(f"codes of the prior '{self.code_prior}' cannot be truncated", "truncation", "set it to 1")

        def draw(n: int, random: torch.Generator) -> Tensor:
            return code_priors.draw(self.code_prior, n, self.latent_dim, random, self.parts, truncation=truncation)

        return Draw(randomness.rows(draw, seed, "sample", start, count), truncation=truncation)

    def prior_codes(self, n: int, seed: int) -> Tensor:
        """Return draws of the distribution that codes are trained to follow, [n, Z], on the CPU."""
        codes: Tensor = self.draw(seed, 0, n).latents
        return codes

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the encoder and the decoder."""
        samples = torch.zeros(2, *self.encoder.shape)  # type: ignore[misc]
        latents = torch.zeros(2, int(self.decoder.latent_dim))  # type: ignore[arg-type]
        return {
            "encoder": self.export("encoder", {"samples": samples}, self.encoder_outputs, ema),
            "decoder": self.export("decoder", {"latents": latents}, ("images",), ema),
        }

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return samples, reconstructions, and for two dimensions the codes of held-out samples over the prior."""
        shown: dict[str, Shown] = dict(super().pictures(n, seed, held_out))
        if held_out is not None and self.latent_dim == 2:
            codes = self.encode(held_out.samples)[:, :2]
            shown["codes"] = Scatter(codes, held_out.labels, self.prior_codes(DRAWN, seed)[:, :2])
        return shown
