"""How logits come to the size of an image: as mmseg resizes them, and the same as weights of a few points along each axis."""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Span = tuple[int, int]


class Taps(NamedTuple):
    """One axis of a resizing: each sample is a mean of T neighbouring points, with weights of at least 0."""

    points: int  # that there are
    first: Tensor  # (samples,) the first of the T
    weight: Tensor  # (samples, T) float64

    def window(self, start: int, stop: int) -> tuple[int, int, Tensor]:
        """Return the first point that the samples ``start`` to ``stop - 1`` need, one past the last, and their weights.

        The weights are ``(samples, points)``.
        """
        first, weight = self.first[start:stop], self.weight[start:stop]
        low, high = int(first.min()), int(first.max()) + weight.shape[1]
        matrix = weight.new_zeros(len(first), high - low)
        return low, high, matrix.scatter_(1, (first - low).view(-1, 1) + _range(weight.shape[1]), weight)

    def then(self, after: Taps) -> Taps:
        """Return the axis that ``after`` makes of the samples of this one."""
        used = after.first.view(-1, 1) + _range(after.weight.shape[1])
        first, weight = self.first[used], self.weight[used] * after.weight.unsqueeze(2)
        wide = int((first.amax(1) - first.amin(1)).max()) + self.weight.shape[1]
        start = first.amin(1).clamp(max=self.points - wide)
        place = (first - start.view(-1, 1)).unsqueeze(2) + _range(self.weight.shape[1])
        total = weight.new_zeros(len(start), wide).scatter_add_(1, place.flatten(1), weight.flatten(1))
        return Taps(self.points, start, total)


@dataclass(frozen=True)
class Resizing:
    """One bilinear interpolation of ``(N, C, h, w)`` logits, or two with a cut and flips between them.

    Args:
        size: Height and width after the first.
        align_corners: As in ``F.interpolate``, for both.
        cut: First and one past the last of the rows that are kept, and of the columns; None for all.
        flip: Which of the axes, 2 and 3, are flipped.
        then: Height and width after the second; None for no second.
    """

    size: tuple[int, int]
    align_corners: bool = False
    cut: tuple[Span, Span] | None = None
    flip: tuple[int, ...] = ()
    then: tuple[int, int] | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the resized logits, every channel at full resolution."""
        logits = F.interpolate(logits, self.size, mode='bilinear', align_corners=self.align_corners)
        if self.cut is not None:
            rows, columns = (slice(*span) for span in self.cut)
            logits = logits[..., rows, columns]
        if self.flip:
            logits = logits.flip(self.flip)
        if self.then is None:
            return logits
        return F.interpolate(logits, self.then, mode='bilinear', align_corners=self.align_corners)

    def axis(self, dim: int, small: int, dtype: torch.dtype) -> Taps:
        """Return the weights along axis 2 or 3 of logits of ``small`` points and of ``dtype``, in which places are rounded."""
        taps = _interpolation(small, self.size[dim - 2], self.align_corners, dtype)
        kept = _range(self.size[dim - 2])
        kept = kept if self.cut is None else kept[slice(*self.cut[dim - 2])]
        kept = kept.flip(0) if dim in self.flip else kept
        taps = Taps(small, taps.first[kept], taps.weight[kept])
        if self.then is None or self.then[dim - 2] == len(kept):  # to the same size is no change
            return taps
        return taps.then(_interpolation(len(kept), self.then[dim - 2], self.align_corners, dtype))

    @property
    def rounds(self) -> int:
        """How many times an interpolation rounds."""
        return 1 if self.then is None else 2


def _interpolation(small: int, large: int, align_corners: bool, dtype: torch.dtype) -> Taps:
    """Return the places and shares of ``F.interpolate``, which rounds them to float32 unless the logits are float64."""
    dtype = torch.promote_types(dtype, torch.float32)
    sample = _range(large).double()
    if align_corners:
        step = _ratio(small - 1, large - 1, dtype) if large > 1 else 0.0
        place = sample * step
    else:
        place = (sample + 0.5) * _ratio(small, large, dtype) - 0.5  # a fused multiplication and subtraction: rounded once
    place = place.to(dtype).clamp(min=0)
    width = min(small, 2)
    first = place.floor().long().clamp(max=small - width)
    share = (place - first).clamp(max=1).view(-1, 1)
    weight = torch.cat([1 - share, share], 1) if width == 2 else torch.ones_like(share)
    return Taps(small, first, weight.double())


def _ratio(small: int, large: int, dtype: torch.dtype) -> float:
    return float(torch.tensor(small, dtype=dtype, device='cpu') / torch.tensor(large, dtype=dtype, device='cpu'))


def _range(stop: int) -> Tensor:
    return torch.arange(stop, device='cpu')
