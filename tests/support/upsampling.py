"""Problems for the up-sampled losses, and bilinear interpolation in numpy, from its definition."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmimb.dispatch import Formula, Upsample, upsampled_sum
from mmimb.functional import adjusted_cross_entropy, channel_cross_entropy, outlying_squared_error
from mmimb.functional.upsampled import upsample
from mmimb.testing.tested_loss import IGNORE

# logits and labels: integer and fractional ratios, odd sizes, one pixel, fewer labels than logits
SIZES = [((4, 5), (16, 20)), ((4, 5), (9, 12)), ((5, 3), (13, 40)), ((1, 6), (4, 12)), ((6, 1), (20, 5)), ((1, 1), (3, 7)),
         ((7, 9), (5, 4)), ((3, 4), (3, 4)), ((9, 9), (33, 33)), ((9, 20), (9, 20)), ((6, 20), (6, 45)), ((5, 12), (17, 12))]


VECTOR = torch.tensor([0.3, 1.2, 0.7, 1.0], dtype=torch.float64)
FORMULAS: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    'cross-entropy': (adjusted_cross_entropy, {}),
    'focal': (adjusted_cross_entropy, dict(gamma=2.0)),
    'focal, root': (adjusted_cross_entropy, dict(gamma=0.5)),
    'margin': (adjusted_cross_entropy, dict(scale=torch.full((4,), 1.5), margin=VECTOR)),
    'relief': (adjusted_cross_entropy, dict(scale=torch.full((4,), 1.5), margin=VECTOR, relief=VECTOR)),
    'relief alone': (adjusted_cross_entropy, dict(relief=VECTOR)),
    'relief among other scales': (adjusted_cross_entropy, dict(scale=VECTOR, bias=-VECTOR, relief=VECTOR)),
    'large margin': (adjusted_cross_entropy, dict(margin=50 * VECTOR)),
    'scale and bias': (adjusted_cross_entropy, dict(scale=VECTOR, bias=-VECTOR)),
    'complement': (adjusted_cross_entropy, dict(complement=-1.0)),
    'all of it': (adjusted_cross_entropy, dict(scale=VECTOR, bias=VECTOR, margin=VECTOR, gamma=1.5, complement=0.5)),
    'squared error': (outlying_squared_error, dict(labels=20 * VECTOR)),
    'own class weighted': (outlying_squared_error, dict(labels=20 * VECTOR, label_weight=3.0)),
    'binary': (channel_cross_entropy, {}),
    'balanced': (channel_cross_entropy, dict(bias=VECTOR, lam=2.0, gamma=2.0, factor=VECTOR.repeat(2, 1))),
    'balanced by pixel': (channel_cross_entropy, dict(bias=VECTOR, lam=2.0, factor=VECTOR.repeat(2, 1),
                                                      table=torch.outer(VECTOR, VECTOR))),
}


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


def arguments(name: str, dtype: torch.dtype) -> dict[str, Any]:
    dtype = torch.promote_types(dtype, torch.float32)
    return {key: value.to(dtype) if isinstance(value, Tensor) else value for key, value in FORMULAS[name][1].items()}


def by_definition(name: str, logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                  **arguments: Any) -> Tensor:
    """Return the sum of coefficient times loss over the interpolated logits."""
    return (coefficient * FORMULAS[name][0](upsample(logits, target.shape[1:], align_corners), target, **arguments)).sum()


def by_strips(name: str, logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
              factor: Tensor | None = None, **arguments: Any) -> Tensor:
    """Return the same as losses compute it under ``upsample='strip'``."""
    formula = Formula(FORMULAS[name][0], arguments, by_image={} if factor is None else {'factor': factor})
    return upsampled_sum(formula, logits, target, coefficient, Upsample('strip', align_corners))


def solve(way: Callable[..., Tensor], name: str, logits: Tensor, target: Tensor, coefficient: Tensor, *,
          align_corners: bool = False, **changes: Any) -> tuple[Tensor, Tensor]:
    """Return value and gradient of a formula in one of these ways, for logits of any dtype; ``changes`` are other arguments."""
    low = logits.detach().requires_grad_()
    exact = torch.promote_types(logits.dtype, torch.float32)
    value = way(name, low, target, coefficient.to(exact), align_corners=align_corners,
                **{**arguments(name, logits.dtype), **changes})
    (grad,) = torch.autograd.grad(value, low)
    assert value.dtype == exact
    assert grad.dtype == logits.dtype
    return value.detach().double(), grad.double()


def cleaned(target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return target.masked_fill(target == IGNORE, 0), weight.masked_fill(target == IGNORE, 0)
