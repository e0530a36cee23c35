"""Weighted sums of pixel losses over bilinearly up-sampled logits, strip by strip: no tensor of full resolution and C channels.

The functions of :mod:`mmimb.functional.upsampled` once more, with the same arguments, and :func:`sum_over_strips` for any loss
with a value per pixel. Labels count only where the coefficient is not 0; elsewhere they can be any number. The gradient is
computed together with the value, where one is needed, and kept at low resolution.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .axes import matrix, support
from .binary import adjusted_binary_cross_entropy, positive_channels
from .cross_entropy import adjusted_cross_entropy, complement_entropy
from .first_order import first_order
from .geometric import walk_cross_entropy
from .layout import per_class
from .lovasz import count_errors, empty_count, error_buckets, slope_table
from .phases import Adjustment

STRIP = {'cpu': 1 << 19}  # elements of the up-sampled logits of a strip; the cache of a core holds few of that size
CHANNELS = {'cpu': 8}  # that are up-sampled at a time, for the arg-max
MANY_CHANNELS = 32
LARGE_STRIP = 1 << 25  # elsewhere: enough to keep a device busy

Losses = Callable[[Tensor, slice, slice], Tensor]
Local = Callable[[Tensor, slice, slice, bool], tuple[Tensor, Tensor | None]]
Compute = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]


def sum_over_strips(logits: Tensor, coefficient: Tensor, losses: Losses, *, align_corners: bool = False) -> Tensor:
    r"""Return :math:`\sum_i k_i \ell_i` over the pixels ``i`` of the up-sampled logits.

    Args:
        logits: ``(N, C, h, w)`` scores; the only input with a gradient.
        coefficient: ``(N, H, W)`` factors ``k``.
        losses: Called with the ``(1, C, rows, W)`` up-sampled logits of a strip, in float32 at least, and the slices of images
            and rows that it covers; returns the ``(1, rows, W)`` losses. A pixel's loss must depend on its own logits only.
        align_corners: As in ``F.interpolate``.

    Returns:
        A scalar in float32, or float64 for float64 logits.
    """

    def local(z: Tensor, images: slice, rows: slice, gradient: bool) -> tuple[Tensor, Tensor | None]:
        with torch.set_grad_enabled(gradient):
            z = z.requires_grad_(gradient)
            factor = coefficient[images, rows]
            total = (factor * losses(z, images, rows)).masked_fill(factor == 0, 0).sum()  # also where the loss is infinite
        return total.detach(), torch.autograd.grad(total, z)[0] if gradient else None

    return _fused(logits, lambda low, gradient: _strips(low, coefficient.shape[1:], local, align_corners, gradient))


def upsampled_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                            scale: Tensor | None = None, bias: Tensor | None = None, margin: Tensor | None = None,
                            relief: Tensor | None = None, gamma: float = 0.0, complement: float = 0.0) -> Tensor:
    """Return what :func:`mmimb.functional.upsampled.upsampled_cross_entropy` does."""
    adjustment = Adjustment(scale, bias, margin, relief, gamma)
    if complement == 0 and _can_walk(logits, target, adjustment):
        return _fused(logits, lambda low, gradient: walk_cross_entropy(
            low, target, coefficient, align_corners=align_corners, adjustment=adjustment, gradient=gradient))

    def losses(z: Tensor, images: slice, rows: slice) -> Tensor:
        label = target[images, rows].clamp(0, max(z.shape[1], 2) - 1)
        loss = adjusted_cross_entropy(z, label, scale=scale, bias=bias, margin=margin, relief=relief, gamma=gamma)
        if complement == 0:
            return loss
        z = z if scale is None else z * per_class(scale, z)
        z = z if bias is None else z + per_class(bias, z)
        return loss + complement / (z.shape[1] - 1) * complement_entropy(z, label)

    return sum_over_strips(logits, coefficient, losses, align_corners=align_corners)


def upsampled_squared_error(logits: Tensor, target: Tensor, coefficient: Tensor, *, labels: Tensor,
                            align_corners: bool = False) -> Tensor:
    """Return the sum of :func:`mmimb.functional.upsampled.upsampled_squared_error`."""

    def local(z: Tensor, images: slice, rows: slice, gradient: bool) -> tuple[Tensor, Tensor | None]:
        label = target[images, rows].clamp(0, max(z.shape[1], 2) - 1)
        error = z.scatter_add_(1, label.unsqueeze(1), -labels[label].unsqueeze(1))
        weight = coefficient[images, rows] / z.shape[1]
        total = (weight * error.square().sum(1)).masked_fill(weight == 0, 0).sum()  # also where the square is infinite
        return total, error.mul_(2 * weight.unsqueeze(1)) if gradient else None

    return _fused(logits, lambda low, gradient: _strips(low, target.shape[1:], local, align_corners, gradient))


def upsampled_binary_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                                   bias: Tensor | None = None, lam: float = 1.0, gamma: float = 0.0,
                                   factor: Tensor | None = None, table: Tensor | None = None) -> Tensor:
    """Return the sum of :func:`mmimb.functional.upsampled.upsampled_binary_cross_entropy`."""

    def losses(z: Tensor, images: slice, rows: slice) -> Tensor:
        label = target[images, rows].clamp(0, max(z.shape[1], 2) - 1)
        weight = None if factor is None else factor[images, :, None, None]
        if table is not None:
            chosen = table[label].movedim(-1, 1)
            weight = chosen if weight is None else weight * chosen
        return adjusted_binary_cross_entropy(z, positive_channels(z, label), bias=bias, lam=lam, factor=weight,
                                             gamma=gamma).mean(1)

    return sum_over_strips(logits, coefficient, losses, align_corners=align_corners)


def upsampled_lovasz(logits: Tensor, target: Tensor, weight: Tensor, share: Callable[[Tensor], Tensor], *,
                     sigmoid: bool = False, align_corners: bool = False) -> Tensor:
    r"""Return :math:`\sum_c k_c L_c` with the bucketed terms of :func:`mmimb.functional.lovasz_loss` at the output pixels.

    The strips are made twice: to count the errors, which gives the slopes, and for the value and the gradient.

    Args:
        logits: ``(N, C, h, w)`` scores; the only input with a gradient; ``C = 1`` too with ``sigmoid``.
        target: ``(N, H, W)`` labels, in range where the weight is not 0.
        weight: ``(N, H, W)`` pixel weights, 0 at ignored pixels.
        share: Returns the ``(C,)`` factors ``k``, given 1 for each class with a label and 0 for the others.
        sigmoid: Each channel is a binary problem; otherwise the probabilities are those of the softmax.
        align_corners: As in ``F.interpolate``.

    Returns:
        A scalar in float32, or float64 for float64 logits.
    """
    size = target.shape[1:]

    def errors(z: Tensor, images: slice, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        label = target[images, rows].clamp(0, max(z.shape[1], 2) - 1)
        prob = z.sigmoid() if sigmoid else z.softmax(1)
        return prob, error_buckets(prob, positive_channels(z, label)), weight[images, rows].unsqueeze(1)

    def compute(low: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        count = empty_count(low.shape[1], low.device)

        def add(z: Tensor, images: slice, rows: slice, _: bool) -> tuple[Tensor, None]:
            count_errors(count, *errors(z, images, rows)[1:])
            return z.new_zeros(()), None

        _strips(low, size, add, align_corners, False)
        table = slope_table(count) * share((count[:, 1].sum(-1) > 0).to(count.dtype)).view(-1, 1, 1)
        constant = (count[:, 1] * table[:, 1]).sum()
        slopes = table.flatten().to(torch.promote_types(low.dtype, torch.float32))

        def local(z: Tensor, images: slice, rows: slice, gradient: bool) -> tuple[Tensor, Tensor | None]:
            prob, bucket, factor = errors(z, images, rows)
            mass = slopes.index_select(0, bucket.flatten()).view(prob.shape).mul_(factor).mul_(prob)
            if not gradient:
                return mass.sum(), None
            spread = mass if sigmoid else mass.sum(1, keepdim=True)
            return mass.sum(), mass - prob * spread

        value, grad = _strips(low, size, local, align_corners, gradient)
        return (value - constant).to(value.dtype), grad

    return _fused(logits, compute)


@torch.no_grad()
def upsampled_argmax(logits: Tensor, size: torch.Size | tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """Return the ``(N, *size)`` class with the largest up-sampled logit, exactly as from ``F.interpolate``; ties: the lowest.

    Args:
        logits: ``(N, C, h, w)`` scores.
        size: Height and width of the result.
        align_corners: As in ``F.interpolate``.
    """
    best = logits.new_full((len(logits), *size), -torch.inf)
    winner = torch.zeros(best.shape, dtype=torch.int64, device=logits.device)
    step = CHANNELS.get(logits.device.type, MANY_CHANNELS)
    for channel in range(0, logits.shape[1], step):
        z = F.interpolate(logits[:, channel:channel + step], tuple(size), mode='bilinear', align_corners=align_corners)
        value, index = z.max(1)
        better = value > best
        winner = torch.where(better, index + channel, winner)
        best = torch.where(better, value, best)
    return winner


def _can_walk(logits: Tensor, target: Tensor, adjustment: Adjustment) -> bool:
    """Return whether the walk can compute this, and is likely to be the fastest way."""
    if logits.device.type != 'cpu' or target.shape[1] < 2 * logits.shape[2] or target.shape[2] < 2 * logits.shape[3]:
        return False
    if adjustment.relief is None:
        return True
    scale = adjustment.scale  # the walk looks for the strongest wrong class among the adjusted logits
    same_order = scale is None or bool((scale == scale[0]).all() & (scale[0] > 0))
    return adjustment.bias is None and same_order


def _strips(logits: Tensor, size: tuple[int, ...], local: Local, align_corners: bool,
            gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Up-sample strip by strip, call ``local`` on each, and take its gradient back to low resolution."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    (channels, height, width), (out_height, out_width) = logits.shape[1:], size
    along_y = matrix(height, out_height, align_corners, dtype, logits.device)
    along_x = matrix(width, out_width, align_corners, dtype, logits.device)
    rows = max(1, STRIP.get(logits.device.type, LARGE_STRIP) // (channels * out_width))
    grad = torch.zeros(logits.shape, dtype=dtype, device=logits.device) if gradient else None
    value = torch.zeros((), dtype=dtype if logits.device.type == 'mps' else torch.float64, device=logits.device)
    for start in range(0, out_height, rows):
        stop = min(start + rows, out_height)
        first, last = (start, stop) if along_y is None else support(height, out_height, align_corners, start, stop)
        blend = None if along_y is None else along_y[start:stop, first:last]
        for n in range(len(logits)):
            low = logits[n:n + 1, :, first:last].to(dtype)
            z = low.clone() if along_x is None else low @ along_x.T  # `local` may write to it
            z = z if blend is None else blend @ z
            total, slope = local(z, slice(n, n + 1), slice(start, stop), gradient)
            value += total  # kept, the little results would keep the memory between them from being used again
            if grad is not None and slope is not None:
                slope = slope if blend is None else blend.T @ slope
                grad[n:n + 1, :, first:last] += slope if along_x is None else slope @ along_x
    return value.to(dtype), grad


@torch.compiler.disable
def _fused(logits: Tensor, compute: Compute) -> Tensor:
    needed = torch.is_grad_enabled() and logits.requires_grad
    total: Tensor = _Fused.apply(logits, compute, needed)
    return total


class _Fused(torch.autograd.Function):
    """A scalar whose gradient is computed with it."""

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
        # Handed on as it is where possible: the engine frees what was saved, and `.grad` takes it without a copy. Scaled
        # before it is rounded to a half type, where small values would be lost, and never in place.
        if factor.device.type != 'cpu' or float(factor) != 1:
            grad = grad * factor
        return grad.to(ctx.dtype), None, None
