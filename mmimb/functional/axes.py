"""One axis of a bilinear up-sampling.

``small`` logits along the axis, called points, are interpolated at ``large`` output pixels, called samples. The points lie at
0, 1, ..., ``small - 1``. Example: 4 samples of 2 points lie at -0.25, 0.25, 0.75 and 1.25, unless ``align_corners=True``.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Make = TypeVar('Make', bound=Callable[..., Any])


def cached(make: Make) -> Make:
    """Cache up to 64 results of ``make``; not those made under ``FakeTensorMode``, whose tensors hold no numbers."""
    known = lru_cache(64)(make)

    @wraps(make)
    def get(*args: Any) -> Any:
        real = type(torch.empty(0, device='cpu')) is Tensor
        return known(*args) if real else make(*args)

    return cast(Make, get)


def positions(small: int, large: int, align_corners: bool) -> tuple[Tensor, float]:
    """Return the ``(large,)`` float64 places of the samples, and the distance between two of them.

    A place below 0 or above ``small - 1`` has the value of the first or last point.
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
    """Return the ``(large, small)`` matrix that makes samples of points; None where it would be the identity."""
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
    """Return the range of points that the samples ``start`` to ``stop - 1`` are interpolated from: first, one past the last."""
    place = positions(small, large, align_corners)[0][[start, stop - 1]].clamp(0, small - 1)
    return int(place[0].floor()), min(int(place[1].floor()) + 2, small)
