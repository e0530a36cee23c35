"""One axis of the walk: the samples of an up-sampling, sorted into cells of evenly spaced samples (see walk.py)."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .axes import cached, positions


@dataclass(frozen=True)
class Cells:
    """The samples of an axis, sorted by the cell that they lie in.

    A cell lies between two neighbouring points. Its samples are ``step`` apart and numbered by their phase: 0, 1, ...,
    ``phases - 1`` from left to right. Example: of 3 points and 12 samples, each cell between two points holds 4 samples, and
    the half cells before the first and after the last point hold 2 each.

    All cells have the same number of phases, so that one array operation treats one phase of all cells. A cell with fewer
    samples is padded: its missing phases are computed as well, with weight 0 (``counts``); the cell before the first point is
    padded in front. The half cells have the same point at both ends. A cell with more samples than phases is listed several
    times.
    """

    phases: int
    step: float
    left: Tensor  # (cells,) the point at the left end, -1 before the first point
    offset: Tensor  # (cells,) float64, place of phase 0, relative to the left end
    start: int | None  # sample at phase 0 of the first cell (negative: padding) if every further cell begins `phases` later
    sample: Tensor  # (phases, cells) the number of the sample; any existing number for padding
    counts: Tensor  # (phases, cells) float64, 1 for a sample, 0 for padding
    runs: tuple[tuple[int, int, int], ...]  # cells a to b - 1 whose left ends are p, p + 1, ...: (a, b, p)
    stretch: float  # bound of |value| at any phase, padding included, over the largest |value| at the ends

    def part(self, start: int, stop: int) -> Cells:
        """Return the cells from ``start`` to ``stop - 1``; they keep no ``runs``."""
        first = None if self.start is None else self.start + start * self.phases
        return Cells(self.phases, self.step, self.left[start:stop], self.offset[start:stop], first, self.sample[:, start:stop],
                     self.counts[:, start:stop], (), self.stretch)

    def __len__(self) -> int:
        return len(self.left)


@cached
def cells(small: int, large: int, align_corners: bool, most: int = 1 << 30) -> Cells:
    """Return the cells of an axis with at most ``most`` phases.

    Where cells hold n or n - 1 samples, the number of phases is the one with less padding in all.

    >>> made = cells(3, 12, False)
    >>> made.phases, made.left.tolist(), made.counts[0].tolist()
    (4, [-1, 0, 1, 2], [0.0, 1.0, 1.0, 1.0])
    """
    place, step = positions(small, large, align_corners)
    left = (place + 1e-9).floor().long().clamp(max=small - 1)  # a sample on a point begins its cell in spite of rounding
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
    edge = (base < 0) | (base == small - 1)  # both ends are the same point: padding has its value
    beyond = (offset + (phases - 1) * step - 1).masked_fill(edge, 0).clamp(min=0).max()
    jumps = [0, *((base.diff() != 1).nonzero().flatten() + 1).tolist(), len(base)]
    runs = tuple((a, b, int(base[a])) for a, b in pairwise(jumps))
    side_by_side = bool((begin.diff() == phases).all())
    return Cells(phases, step, base, offset, int(begin[0]) if side_by_side else None, sample, counts.double(), runs,
                 float(1 + 2 * beyond))
