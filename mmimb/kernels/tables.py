"""One axis of a bilinear up-sampling, as tables on the device of the logits."""
from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from ..functional.axes import cached, positions


@dataclass(frozen=True, eq=False)
class Axis:
    """``large`` samples between ``small`` points: the cell of a point holds the samples from it to the next point.

    The samples before the first point belong to its cell, those beyond the last point to the last cell; their share is 0.
    """

    small: int
    large: int
    left: Tensor  # (large,) int32, the cell of a sample; its other point is the next one, or the same at the end
    share: Tensor  # (large,) float32, weight of that next point
    start: Tensor  # (small + 1,) int32, first sample of a cell
    starts: tuple[int, ...]  # the same, for the host

    @functools.lru_cache(256)  # noqa: B019, axes live as long as their cache
    def pieces(self, most: int) -> Tensor:
        """Return ``(P, 2)`` int32: the samples of every cell in pieces of at most ``most``, as first and one past the last."""
        cells = zip(self.starts, self.starts[1:], strict=False)
        spans = [(first, min(first + most, stop)) for start, stop in cells for first in range(start, stop, most)]
        return torch.tensor(spans, dtype=torch.int32).to(self.left.device)

    @functools.cached_property
    def longest(self) -> int:
        """Most samples in a cell."""
        return max(stop - start for start, stop in zip(self.starts, self.starts[1:], strict=False))

    @functools.lru_cache(64)  # noqa: B019
    def widest(self, points: int) -> int:
        """Most samples whose value depends on one of ``points`` neighbouring points, in blocks from the first point on."""
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
