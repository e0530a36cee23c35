"""One axis of a bilinear up-sampling: as a matrix, and as cells within which the samples are evenly spaced."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Make = TypeVar('Make', bound=Callable[..., Any])


def cached(make: Make) -> Make:
    """Keep up to 64 results; none that is made of fake tensors, which hold no numbers."""
    known = lru_cache(64)(make)

    @wraps(make)
    def get(*args: Any) -> Any:
        real = type(torch.empty(0, device='cpu')) is Tensor
        return known(*args) if real else make(*args)

    return cast(Make, get)


def positions(small: int, large: int, align_corners: bool) -> tuple[Tensor, float]:
    """Return the ``(large,)`` float64 places of the samples on an axis of ``small`` points, and their distance.

    A place outside ``[0, small - 1]`` stands for the point at that end.
    """
    sample = torch.arange(large, dtype=torch.float64, device='cpu')
    if align_corners:
        step = (small - 1) / (large - 1) if large > 1 else 0.0
        return sample * step, step
    step = small / large
    return (sample + 0.5) * step - 0.5, step


@cached
def matrix(small: int, large: int, align_corners: bool, dtype: torch.dtype,
           device: torch.device | str = 'cpu') -> Tensor | None:
    """Return the ``(large, small)`` matrix that interpolates along an axis; None where it would change nothing."""
    if small == large:
        return None
    place = positions(small, large, align_corners)[0].clamp(0, small - 1)
    left = place.floor().long()
    share = place - left
    blend = torch.zeros(large, small, dtype=torch.float64, device='cpu')
    row = torch.arange(large, device='cpu')
    blend[row, left] = 1 - share
    blend[row, (left + 1).clamp(max=small - 1)] += share
    return blend.to(device, dtype)


def support(small: int, large: int, align_corners: bool, start: int, stop: int) -> tuple[int, int]:
    """Return the first and one past the last of the ``small`` points that the samples ``start`` to ``stop - 1`` need."""
    place = positions(small, large, align_corners)[0][[start, stop - 1]].clamp(0, small - 1)
    return int(place[0].floor()), min(int(place[1].floor()) + 2, small)


@dataclass(frozen=True)
class Cells:
    """The samples of an axis by cell: between two neighbouring points, ``phases`` samples that are ``step`` apart.

    A cell that holds fewer samples is filled up with samples that lie elsewhere and count nowhere; the half cells beyond the
    first and last point have that point on both sides, and the first is filled up in front. Long cells are listed in parts.
    """

    phases: int
    step: float
    left: Tensor  # (cells,) the point on the left, -1 before the first
    offset: Tensor  # (cells,) float64, how far the first sample is to the right of that point
    start: int | None  # sample at phase 0 of the first cell, maybe before the first, if all cells lie side by side
    sample: Tensor  # (phases, cells) which sample it is; any that exists for those that count nowhere
    counts: Tensor  # (phases, cells) float64, 1 for a sample, 0 for a filling
    runs: tuple[tuple[int, int, int], ...]  # first cell, one past the last, and `left` of the first: neighbours side by side
    stretch: float  # largest value in a cell, fillings included, over the largest at its ends

    def part(self, start: int, stop: int) -> Cells:
        """Return the cells from ``start`` to ``stop - 1``; they keep no ``runs``."""
        first = None if self.start is None else self.start + start * self.phases
        return Cells(self.phases, self.step, self.left[start:stop], self.offset[start:stop], first, self.sample[:, start:stop],
                     self.counts[:, start:stop], (), self.stretch)

    def __len__(self) -> int:
        return len(self.left)


@cached
def cells(small: int, large: int, align_corners: bool, most: int = 1 << 30) -> Cells:
    """Return the cells of an axis, with at most ``most`` phases: of two lengths, the one with fewer fillings."""
    place, step = positions(small, large, align_corners)
    left = (place + 1e-9).floor().long().clamp(max=small - 1)  # samples on a point are its, whatever rounding says
    first = torch.cat([left.new_ones(1, dtype=torch.bool), left.diff() > 0]).nonzero().flatten().tolist()
    held = [(start, stop - start) for start, stop in zip(first, [*first[1:], large], strict=True)]
    longest = max(count for _, count in held)
    phases = min({min(longest, most), max(min(longest - 1, most), 1)},
                 key=lambda size: (size * sum(-(-count // size) for _, count in held), -size))
    parts = [(start + k, min(phases, count - k)) for start, count in held for k in range(0, count, phases)]
    start, count = (left.new_tensor(column) for column in zip(*parts, strict=True))
    phase = torch.arange(phases, device='cpu').view(-1, 1)
    base = left[start]
    front = torch.where(base < 0, phases - count, 0)
    counts = (phase >= front) & (phase < front + count)
    begin = start - front
    sample = torch.where(counts, begin + phase, start)
    offset = place[start] - front * step - base
    edge = (base < 0) | (base == small - 1)  # constant: a filling cannot leave the range of the ends
    beyond = (offset + (phases - 1) * step - 1).masked_fill(edge, 0).clamp(min=0).max()
    jumps = [0, *((base.diff() != 1).nonzero().flatten() + 1).tolist(), len(base)]
    runs = tuple((a, b, int(base[a])) for a, b in pairwise(jumps))
    side_by_side = bool((begin.diff() == phases).all())
    return Cells(phases, step, base, offset, int(begin[0]) if side_by_side else None, sample, counts.double(), runs,
                 float(1 + 2 * beyond))
