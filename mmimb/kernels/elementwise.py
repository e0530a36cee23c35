"""The kernels of functional.outlying_squared_error and functional.channel_cross_entropy.

The slope in a channel needs no other channel of the pixel, so that loss and gradient come from one pass.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional.first_order import first_order
from .launch import run_slopes
from .prepare import checked, vector


@torch.compiler.disable
def upsampled_squared_error(logits: Tensor, target: Tensor, coefficient: Tensor, *, labels: Tensor,
                            label_weight: float = 1.0, align_corners: bool = False) -> Tensor:
    """Return the sum of :func:`mmimb.functional.outlying_squared_error`; the gradient is computed with it."""
    target, coefficient = checked('squared_error', logits, target, coefficient)
    vectors = {'labels': vector('labels', labels, logits, logits.shape[1])}
    return _loss(logits, target, coefficient, 'squared_error', vectors, align_corners=align_corners,
                 lam=float(label_weight))


@torch.compiler.disable
def upsampled_binary_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                                   bias: Tensor | None = None, lam: float = 1.0, gamma: float = 0.0,
                                   factor: Tensor | None = None, table: Tensor | None = None) -> Tensor:
    """Return the sum of :func:`mmimb.functional.channel_cross_entropy`; the gradient is computed with it."""
    target, coefficient = checked('binary_cross_entropy', logits, target, coefficient)
    n, channels = logits.shape[:2]
    vectors = {'bias': vector('bias', None if bias is None else -bias, logits, channels),
               'gain': vector('factor', factor, logits, n, channels),
               'table': vector('table', table, logits, channels, channels)}
    return _loss(logits, target, coefficient, 'binary_cross_entropy', vectors, align_corners=align_corners, lam=float(lam),
                 gamma=float(gamma))


def _loss(logits: Tensor, target: Tensor, coefficient: Tensor, formula: str, vectors: dict[str, Tensor | None],
          **numbers: Any) -> Tensor:
    needed = torch.is_grad_enabled() and logits.requires_grad  # in `forward`, `needs_input_grad` does not know of no_grad
    loss: Tensor = _Elementwise.apply(logits, target, coefficient, formula, vectors, numbers, needed)
    return loss


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, coefficient: Tensor, formula: str, vectors: dict[str, Tensor | None],
                numbers: dict[str, Any], needed: bool) -> Tensor | None:
        dtype = torch.float32 if needed else None  # of the unscaled gradient: float16 could lose it
        loss, slopes = run_slopes(formula, logits, target, coefficient, vectors=vectors, dtype=dtype, loss=True, **numbers)
        ctx.save_for_backward(slopes)
        ctx.dtype = logits.dtype
        return loss

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        slopes, = ctx.saved_tensors
        return ((slopes * grad).to(ctx.dtype), *(None,) * 6)
