"""The protocol of a score, by which values are put into columns."""

from __future__ import annotations

from typing import NamedTuple

from saddlepoint.report.runs import Card

OF_A_CLASS = ("class_support",)
"""Scores of the class with the lowest value. Their n is the number of its samples, which depends on the samples."""


class Protocol(NamedTuple):
    """Everything that two values of a score must share to be comparable.

    Whether the model has averaged weights and the distribution of labels are not part of it: they are properties of
    the model. So are running statistics of BatchNorm, or none; only standing ones are named. Raw weights are named
    where a run has averaged ones.
    """

    metric: str
    n: int | None
    splits: int | None
    reference: str
    features: str
    features_version: str
    resize: str
    seed: int
    bound: str | None
    binarisation: str | None
    seeds: int
    truncation: float | None = None
    batchnorm: str | None = None
    importance: int | None = None
    raw_weights: bool = False

    @classmethod
    def of(cls, card: Card, averaged: bool = False) -> Protocol:
        """Return the protocol of a score card of a run that has averaged weights or not."""
        found = {name: getattr(card, name) for name in cls._fields if name not in ("importance", "raw_weights")}
        protocol = cls(**found, raw_weights=averaged and card.ema is False)
        if card.beside and "importance" in card.beside:
            protocol = protocol._replace(importance=int(card.beside["importance"]))
        protocol = protocol._replace(batchnorm="standing" if card.batchnorm == "standing" else None)
        return protocol._replace(n=None) if card.metric.startswith(OF_A_CLASS) else protocol
