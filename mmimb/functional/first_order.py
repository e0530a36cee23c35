"""Functions that compute their gradient by hand, together with their value, and have no second derivative."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Compute = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]
# A decorator that has torch.compile leave a function alone. torch.compiler.disable imports the compiler at once, which takes
# a second; torch's own modules use this one, which imports it at the first call.
uncompiled = getattr(torch, '_disable_dynamo', torch.compiler.disable)


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the ``backward`` of an autograd function: ``create_graph=True`` is refused, for its graph would be wrong."""

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("`upsample` must be 'stock' for second derivatives, got a backward with create_graph=True")
        return backward(ctx, *grads)

    return checked


@uncompiled
def with_gradient(logits: Tensor, compute: Compute) -> Tensor:
    """Return a scalar function of the logits whose gradient is computed in the forward pass, if one is needed at all.

    Args:
        logits: The only input with a gradient.
        compute: Called with the detached logits and whether a gradient is needed; returns the value and the gradient, or None.
    """
    needed = torch.is_grad_enabled() and logits.requires_grad
    total: Tensor = _WithGradient.apply(logits, compute, needed)
    return total


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, compute: Compute, gradient: bool) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            total, grad = compute(logits.detach(), gradient)
        ctx.dtype = logits.dtype
        if grad is not None:
            ctx.save_for_backward(grad)
        return total

    @staticmethod
    @first_order
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        # A factor of 1 hands the gradient on as it is: `.grad` takes it without a copy. Others multiply it before it is
        # rounded to a half type, where small values would be lost, and never in place: backward may run twice.
        if factor.device.type != 'cpu' or float(factor) != 1:
            grad = grad * factor
        return grad.to(ctx.dtype), None, None
