"""Scores averaged over seeds, with their standard deviation."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from saddlepoint.metrics.cards import ScoreCard


def over_seeds(runs: Sequence[Sequence[ScoreCard]]) -> list[ScoreCard]:
    """Return each score's mean over seeds, with the mean minus and plus one standard deviation as its interval.

    Args:
        runs: the cards of each seed. The cards of a single seed are returned unchanged, with intervals over splits.

    Returns:
        A card for each score that every seed has. It is the first seed's with these fields replaced: the mean value;
        the interval (the standard deviation has S - 1 in its denominator, for S seeds); the means of the numbers in
        ``beside``; all different notes; and the total of the seconds.
    """
    if len(runs) == 1:
        return list(runs[0])
    by_name = [{card.metric: card for card in run} for run in runs]
    return [
        _mean([cards[card.metric] for cards in by_name])
        for card in runs[0]
        if all(card.metric in cards for cards in by_name)
    ]


def _mean(cards: Sequence[ScoreCard]) -> ScoreCard:
    values = [card.value for card in cards]
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    beside = [card.beside or {} for card in cards]
    shared = {key: statistics.fmean(each[key] for each in beside) for key in beside[0] if all(key in b for b in beside)}
    notes = dict.fromkeys(card.note for card in cards if card.note)
    return dataclasses.replace(
        cards[0],
        value=mean,
        interval=(mean - deviation, mean + deviation),
        beside=shared or None,
        note="; ".join(notes) or None,
        seconds=sum(card.seconds for card in cards),
    )
