"""Saddlepoint trains, measures and compares generative adversarial networks."""

__version__ = "0.1.0"
