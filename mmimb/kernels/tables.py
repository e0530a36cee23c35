"""One axis of a bilinear up-sampling, as tables on the device of the logits."""
from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from ..functional.axes import cached, positions


@dataclass(frozen=True, eq=False)
class Axis:
    """The tables of an axis: ``small`` logits, called points, are interpolated at ``large`` output pixels, called samples.

    The cell of a point holds the samples between it and the next point. The first cell also holds those before the first point,
    and the last those behind the last point; their ``share`` is 0.
    """

    small: int
    large: int
    left: Tensor  # (large,) int32, the cell of a sample: the point on its left
    share: Tensor  # (large,) float32, weight of the point on its right
    start: Tensor  # (small + 1,) int32, first sample of each cell, and ``large``
    starts: tuple[int, ...]  # the same as Python numbers

    @functools.lru_cache(256)  # noqa: B019, axes live as long as their cache
    def pieces(self, most: int) -> Tensor:
        """Cut the cells into pieces of at most ``most`` samples: ``(P, 2)`` int32, first sample and one past the last."""
        cells = zip(self.starts, self.starts[1:], strict=False)
        spans = [(first, min(first + most, stop)) for start, stop in cells for first in range(start, stop, most)]
        return torch.tensor(spans, dtype=torch.int32).to(self.left.device)

    @functools.cached_property
    def longest(self) -> int:
        """Number of samples in the longest cell."""
        return max(stop - start for start, stop in zip(self.starts, self.starts[1:], strict=False))

    @functools.lru_cache(64)  # noqa: B019
    def widest(self, points: int) -> int:
        """Cut the points into blocks of ``points``; return the largest number of samples that depend on a block."""
        return max(self.starts[min(point + points, self.small)] - self.starts[max(point - 1, 0)]
                   for point in range(0, self.small, points))


@cached
def axis(small: int, large: int, align_corners: bool, device: torch.device) -> Axis:
    """Return the tables, computed in float64 on the host once per size and device."""
    place = positions(small, large, align_corners)[0].clamp(0, small - 1)
    left = place.floor().long()
    start = torch.searchsorted(left, torch.arange(small + 1, device=left.device))
    return Axis(small, large, left.int().to(device), (place - left).float().to(device), start.int().to(device),
                tuple(start.tolist()))
