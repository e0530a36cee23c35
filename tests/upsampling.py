"""Problems for the up-sampled losses, and bilinear interpolation in numpy, from its definition."""
from __future__ import annotations

import numpy as np
import torch

from mmimb.testing.subject import IGNORE

# logits and labels: integer and fractional ratios, odd sizes, one pixel, fewer labels than logits
SIZES = [((4, 5), (16, 20)), ((4, 5), (9, 12)), ((5, 3), (13, 40)), ((1, 6), (4, 12)), ((6, 1), (20, 5)), ((1, 1), (3, 7)),
         ((7, 9), (5, 4)), ((3, 4), (3, 4)), ((9, 9), (33, 33))]


def blend(small: int, large: int, align_corners: bool) -> np.ndarray:
    """Return the ``(large, small)`` float64 matrix of linear interpolation along one axis."""
    weights = np.zeros((large, small))
    for sample in range(large):
        if align_corners:
            place = sample * (small - 1) / (large - 1) if large > 1 else 0.0
        else:
            place = (sample + 0.5) * small / large - 0.5
        place = min(max(place, 0.0), small - 1.0)
        left = min(int(place + 1e-12), small - 1)
        weights[sample, left] += 1 - (place - left)
        weights[sample, min(left + 1, small - 1)] += place - left
    return weights


def interpolate(logits: np.ndarray, size: tuple[int, int], align_corners: bool) -> np.ndarray:
    """Return ``(N, C, h, w)`` scores at ``size``."""
    rows, columns = (blend(n, m, align_corners) for n, m in zip(logits.shape[2:], size, strict=True))
    return np.einsum('yh,nchw,xw->ncyx', rows, logits, columns)


def problem(low: tuple[int, int], high: tuple[int, int], *, classes: int = 4, spread: float = 2.0,
            seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return float64 ``(2, C, *low)`` logits, ``(2, *high)`` labels with about a fifth of 255, and pixel weights."""
    g = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(2, classes, *low, generator=g, dtype=torch.float64)
    target = torch.randint(classes, (2, *high), generator=g)
    target[torch.rand(target.shape, generator=g) < 0.2] = IGNORE
    return logits, target, torch.rand(target.shape, generator=g, dtype=torch.float64)
