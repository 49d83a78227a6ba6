"""One pass over samples, shared by the processes of a run: each draws and looks at its share, rank 0 joins them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from saddlepoint import randomness, ranks
from saddlepoint.metrics.base import Collector, Need, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.moments import Moments

ROWS = ("pool", "logits", "pixels", "labels", "sharpness")


def share(n: int, block: int = randomness.SAMPLES_PER_KEY) -> tuple[int, int]:
    """Return the first and the number of this rank's of n samples: whole blocks, in the order of the ranks.

    A generator's last bits depend on the block that it makes a sample in; so the shares are blocks that one process
    would make too.

    >>> share(1000)
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
    """Show the extractor the first n images of ``batches``, and keep what is needed.

    Args:
        batches: uint8 [B, C, H, W]; drawn as they are needed.
        n: how many, of this process.
        needs: what the metrics need.
        extractor: prepared.
        wanted: the labels that the images were asked for, long [n], or None.

    Raises:
        ValueError: ``batches`` end too soon.
    """
    collector, seen = Collector(needs, extractor.dim), 0
    for images in batches if n else ():
        batch = images[: n - seen]
        collector.add(batch, extractor(batch), None if wanted is None else wanted[seen : seen + len(batch)])
        seen += len(batch)
        if seen == n:
            break
    if seen < n:
        raise ValueError(f"evaluation wants {n} images, but was given {seen}")
    return collector.sample()


def joined(sample: Sample) -> Sample | None:
    """Return all ranks' samples as one, rows in the order of the ranks, on rank 0; None on the others."""
    if ranks.world_size() == 1:
        return sample
    own = join([sample])  # on the CPU
    parts: list[Sample | None] | None = [None] * ranks.world_size() if dist.get_rank() == 0 else None
    dist.gather_object(own, parts)
    return None if parts is None else join([part for part in parts if part is not None])


def join(parts: Sequence[Sample]) -> Sample:
    """Join what ranks left of generated samples: moments merge, counts add up, rows follow each other."""
    whole = Sample()
    for name in ROWS:
        rows = [value for part in parts if (value := getattr(part, name)) is not None]
        setattr(whole, name, torch.cat(rows) if rows else None)
    whole.moments = merged(part.moments for part in parts)
    counts = [part.label_counts for part in parts if part.label_counts is not None]
    whole.label_counts = torch.stack(counts).sum(0) if counts else None
    by_class = [part.class_moments for part in parts if part.class_moments is not None]
    labels = sorted({label for moments in by_class for label in moments})
    found = {label: merged(moments.get(label) for moments in by_class) for label in labels}
    whole.class_moments = {label: moments for label, moments in found.items() if moments is not None} or None
    return whole


def merged(streams: Iterable[Moments | None]) -> Moments | None:
    """Return the moments of all streams that there are, on the CPU."""
    there = [moments for moments in streams if moments is not None]
    if not there:
        return None
    whole = Moments(len(there[0].mean))
    for moments in there:
        moments.to("cpu")
        whole.merge(moments)
    return whole
