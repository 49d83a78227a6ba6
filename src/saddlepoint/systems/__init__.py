"""Training algorithms: one file each, on the shared machine of :mod:`saddlepoint.systems.game`."""

from saddlepoint.systems.gan import GAN

__all__ = ["GAN"]
