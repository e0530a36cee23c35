"""The kernel of functional.adjusted_cross_entropy."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional.first_order import first_order
from .launch import MAPS, run_slopes, run_statistics
from .prepare import checked, vector


@torch.compiler.disable
def upsampled_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                            scale: Tensor | None = None, bias: Tensor | None = None, margin: Tensor | None = None,
                            relief: Tensor | None = None, gamma: float = 0.0, complement: float = 0.0) -> Tensor:
    """Return the sum of :func:`mmimb.functional.adjusted_cross_entropy`, and keep four numbers per pixel for the gradient."""
    target, coefficient = checked('cross_entropy', logits, target, coefficient)
    channels = logits.shape[1]
    vectors = {'scale': scale, 'bias': bias, 'margin': margin, 'relief': relief}
    vectors = {name: vector(name, value, logits, channels) for name, value in vectors.items()}
    loss: Tensor = _CrossEntropy.apply(logits, target, coefficient, *vectors.values(), align_corners, float(gamma),
                                       complement / (channels - 1))
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, coefficient: Tensor, scale: Tensor | None, bias: Tensor | None,
                margin: Tensor | None, relief: Tensor | None, align_corners: bool, gamma: float, complement: float) -> Tensor:
        vectors = {'scale': scale, 'bias': bias, 'margin': margin, 'relief': relief}
        loss, maps = run_statistics(logits, target, coefficient, align_corners=align_corners, vectors=vectors, gamma=gamma,
                                    complement=complement)
        ctx.save_for_backward(logits, target, coefficient, scale, bias, *maps.values())
        ctx.align_corners, ctx.complement = align_corners, complement
        return loss

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, coefficient, scale, bias, *maps = ctx.saved_tensors
        vectors = dict(zip(MAPS, maps, strict=True), scale=scale, bias=bias, gain=scale, outer=grad.contiguous())
        slopes = run_slopes('cross_entropy', logits, target, coefficient, align_corners=ctx.align_corners, vectors=vectors,
                            dtype=logits.dtype, loss=False, complement=ctx.complement)[1]
        return (slopes, *(None,) * 9)
