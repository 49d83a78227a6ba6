"""Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406."""

from __future__ import annotations

from saddlepoint.regularizers.r1 import R1


class R2(R1):
    """The zero-centred gradient penalty on generated samples, γ/2 E_{p_G} ‖∇D(x)‖₂² (equation 10).

    All else, the lazy form too, is as for :class:`~saddlepoint.regularizers.r1.R1`.
    """

    of = "fake"
