"""A pass over samples that is divided among processes: each processes a shard, and rank 0 gathers the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from saddlepoint import randomness, ranks
from saddlepoint.metrics.base import ROWS, Collector, Need, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.moments import Moments


def shard(n: int, block: int = randomness.SAMPLES_PER_KEY) -> tuple[int, int]:
    """Return the start and the length of this rank's shard of n samples: whole blocks, in the order of the ranks.

    The last bits of a generated sample depend on the block that it is generated in, so the shards consist of the same
    blocks as those of a single process.

    >>> shard(1000)
    (0, 1000)
    """
    rank, size = (dist.get_rank(), ranks.world_size()) if ranks.world_size() > 1 else (0, 1)
    blocks = -(-n // block)
    first, last = (min(blocks * edge // size * block, n) for edge in (rank, rank + 1))
    return first, last - first


def collect(
    batches: Iterable[Tensor],
    n: int,
    needs: frozenset[Need],
    extractor: FeatureExtractor,
    wanted: Tensor | None = None,
) -> Sample:
    """Extract the features of the first n images of ``batches`` and keep what is needed.

    Args:
        batches: uint8 [B, C, H, W]; consumed only as far as needed.
        n: number of images of this process.
        needs: what the metrics need.
        extractor: prepared.
        wanted: the labels that the images were conditioned on, long [n], or None.

    Raises:
        ValueError: ``batches`` contain fewer than n images.
    """
    collector, seen = Collector(needs, extractor.dim), 0
    for images in batches if n else ():
        batch = images[: n - seen]
        collector.add(batch, extractor(batch), None if wanted is None else wanted[seen : seen + len(batch)])
        seen += len(batch)
        if seen == n:
            break
    if seen < n:
        raise ValueError(f"evaluation needs {n} images, got {seen}")
    return collector.sample()


def gather(sample: Sample) -> Sample | None:
    """Return all ranks' samples merged into one, with rows in the order of the ranks, on rank 0; None on the others."""
    if ranks.world_size() == 1:
        return sample
    own = merge([sample])  # on the CPU
    parts: list[Sample | None] | None = [None] * ranks.world_size() if dist.get_rank() == 0 else None
    dist.gather_object(own, parts)
    return None if parts is None else merge([part for part in parts if part is not None])


def merge(parts: Sequence[Sample]) -> Sample:
    """Return one sample from those of several ranks: moments merged, counts added, rows concatenated."""
    whole = Sample()
    for name in ROWS:
        rows = [value for part in parts if (value := getattr(part, name)) is not None]
        setattr(whole, name, torch.cat(rows) if rows else None)
    whole.moments = merge_moments(part.moments for part in parts)
    counts = [part.label_counts for part in parts if part.label_counts is not None]
    whole.label_counts = torch.stack(counts).sum(0) if counts else None
    by_class = [part.class_moments for part in parts if part.class_moments is not None]
    labels = sorted({label for moments in by_class for label in moments})
    found = {label: merge_moments(moments.get(label) for moments in by_class) for label in labels}
    whole.class_moments = {label: moments for label, moments in found.items() if moments is not None} or None
    return whole


def merge_moments(streams: Iterable[Moments | None]) -> Moments | None:
    """Return the merged moments of those streams that are not None, on the CPU; None if all are."""
    there = [moments for moments in streams if moments is not None]
    if not there:
        return None
    whole = Moments(len(there[0].mean))
    for moments in there:
        moments.to("cpu")
        whole.merge(moments)
    return whole
