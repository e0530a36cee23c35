"""Samples that a sampler repeats at its end, so that all ranks get equally many."""
from __future__ import annotations

from mmengine.dist import get_dist_info


def is_padding(position: int, size: int) -> bool:
    """Return whether the sample that this rank gets at ``position`` (from 0) is such a repetition.

    The samplers of mmengine deal sample ``i`` to rank ``i % world_size``: at position p, rank r gets sample
    ``r + p * world_size``, which repeats another from ``size`` on.

    Args:
        position: Number of samples that this rank got before.
        size: Number of samples in the dataset.
    """
    rank, world_size = get_dist_info()
    return rank + position * world_size >= size
