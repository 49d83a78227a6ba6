"""Comparing runs from their files alone: tables, verdicts over seeds, and one self-contained HTML page.

Nothing here imports torch, Lightning, Hydra or W&B, so a report starts in about a second. :mod:`.runs` reads folders,
:mod:`.settings` finds the settings that differ, :mod:`.table` arranges scores, :mod:`.verdicts` tests differences over
common seeds, :mod:`.formats` writes text, and :mod:`.page` writes the page. :mod:`.workspace` builds a W&B workspace
from what runs have logged; the library that it needs, which imports W&B, is imported only then.
"""
