"""Weighted sums of pixel losses over bilinearly up-sampled logits, strip by strip: no tensor of full resolution and C channels.

A strip is some rows of the up-sampled logits of one image. The gradient is computed together with the value, where one is
needed, and kept at low resolution.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .axes import matrix, support
from .first_order import with_gradient
from .lovasz import classes_to_compute, count_errors, empty_count, error_buckets, slope_table

STRIP = {'cpu': 1 << 19}  # elements of a strip of up-sampled logits, so that the cache of a core holds a few such arrays
LARGE_STRIP = 1 << 25  # elsewhere: enough to keep a device busy

Losses = Callable[[Tensor, slice, slice], Tensor]
Local = Callable[[Tensor, slice, slice, bool], tuple[Tensor, Tensor | None]]


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
            total = (factor * losses(z, images, rows)).masked_fill(factor == 0, 0).sum()  # 0 * inf is NaN
        return total.detach(), torch.autograd.grad(total, z)[0] if gradient else None

    return with_gradient(logits, lambda low, gradient: _strips(low, coefficient.shape[1:], local, align_corners, gradient))


def squared_error_over_strips(logits: Tensor, target: Tensor, coefficient: Tensor, *, labels: Tensor,
                              label_weight: float = 1.0, align_corners: bool = False) -> Tensor:
    r"""Return the sum of :func:`mmimb.functional.outlying_squared_error`, with its slope :math:`2 k (z - t) / C`.

    Args:
        logits: As for :func:`sum_over_strips`.
        target: ``(N, H, W)`` labels; any numbers where the coefficient is 0.
        coefficient: As there.
        labels: ``(C,)`` label values.
        label_weight: Factor of the error at the pixel's own class.
        align_corners: As there.
    """

    def local(z: Tensor, images: slice, rows: slice, gradient: bool) -> tuple[Tensor, Tensor | None]:
        label = target[images, rows].clamp(0, max(z.shape[1], 2) - 1)
        own = label.unsqueeze(1)
        error = z.scatter_add_(1, own, -labels[own])
        square, weight = error.square().sum(1), coefficient[images, rows] / z.shape[1]
        if label_weight != 1:
            mine = error.gather(1, own)
            square += (label_weight - 1) * mine.square().squeeze(1)
            error.scatter_(1, own, label_weight * mine)
        total = (weight * square).masked_fill(weight == 0, 0).sum()  # 0 * inf is NaN
        return total, error.mul_(2 * weight.unsqueeze(1)) if gradient else None

    return with_gradient(logits, lambda low, gradient: _strips(low, target.shape[1:], local, align_corners, gradient))


def lovasz_over_strips(logits: Tensor, target: Tensor, weight: Tensor, share: Callable[[Tensor], Tensor], *,
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
    size, labels = target.shape[1:], max(logits.shape[1], 2)
    pixels = weight.new_zeros(labels).scatter_add_(0, target.clamp(0, labels - 1).flatten(), weight.flatten())
    labelled = pixels[-logits.shape[1]:] > 0
    some = classes_to_compute(labelled)
    channels = some if logits.shape[1] > 1 else some + 1

    def errors(z: Tensor, images: slice, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        prob = z.sigmoid() if sigmoid else z.softmax(1)
        p = prob.index_select(1, some)
        bucket = error_buckets(p, target[images, rows].unsqueeze(1) == channels.view(1, -1, 1, 1))
        return prob, p, bucket, weight[images, rows].unsqueeze(1)

    def compute(low: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        count = empty_count(len(some), low.device)

        def add(z: Tensor, images: slice, rows: slice, _: bool) -> tuple[Tensor, None]:
            count_errors(count, *errors(z, images, rows)[2:])
            return z.new_zeros(()), None

        _strips(low, size, add, align_corners, False)
        table = slope_table(count) * share(labelled.to(count.dtype))[some].view(-1, 1, 1)
        constant = (count[:, 1] * table[:, 1]).sum()
        slopes = table.flatten().to(torch.promote_types(low.dtype, torch.float32))

        def local(z: Tensor, images: slice, rows: slice, gradient: bool) -> tuple[Tensor, Tensor | None]:
            prob, p, bucket, factor = errors(z, images, rows)
            mass = slopes.index_select(0, bucket.flatten()).view(p.shape).mul_(factor).mul_(p)
            if not gradient:
                return mass.sum(), None
            if sigmoid:
                return mass.sum(), torch.zeros_like(prob).index_copy_(1, some, mass - mass * p)
            return mass.sum(), (prob * -mass.sum(1, keepdim=True)).index_add_(1, some, mass)

        value, grad = _strips(low, size, local, align_corners, gradient)
        return (value - constant).to(value.dtype), grad

    return with_gradient(logits, compute)


def _strips(logits: Tensor, size: tuple[int, ...], local: Local, align_corners: bool,
            gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Up-sample strip by strip, call ``local`` on each, and take its gradient back to low resolution.

    ``local(z, images, rows, gradient)`` returns the sum over a strip and, if asked for, its gradient; it may overwrite ``z``.
    """
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
            value += total  # at once: a list of such small tensors would break up the free memory
            if grad is not None and slope is not None:
                slope = slope if blend is None else blend.T @ slope
                grad[n:n + 1, :, first:last] += slope if along_x is None else slope @ along_x
    return value.to(dtype), grad
