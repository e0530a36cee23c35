r"""The Lovász extension of the Jaccard loss (arXiv 1705.08790), one term per class.

A term is :math:`\sum_i s_i e_i` over the pixels: the error times the slope, which is what the pixel adds to the Jaccard loss
when pixels turn wrong one by one, in falling order of error. That order is a sort of all pixels for each class. Here errors are
counted in equal buckets instead, and the pixels of a bucket share the slope that they have on average over all orders in which
they could turn wrong. So, with buckets of width :math:`w`:

* the term is at most :math:`w` below the exact one, and never above it: the Lovász extension is convex, with slopes that add up
  to 1;
* its gradient by the errors is a subgradient of the exact term for errors that lie at most :math:`w / 2` beside the given ones.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .cross_entropy import TINY
from .layout import per_class

BUCKETS = 4096  # 1 / BUCKETS is the rounding error of float16 just below 1
CHUNK = {'cpu': 1 << 18}  # probabilities that are worked on at a time; the cache of a core holds few of that size
LARGE_CHUNK = 1 << 25  # elsewhere: enough to keep a device busy


def lovasz_loss(prob: Tensor, positive: Tensor, weight: Tensor, *, exact: bool = False) -> tuple[Tensor, Tensor]:
    """Return the ``(C,)`` Lovász extensions of one minus IoU, and the mask of the classes with a label.

    Args:
        prob: ``(N, C, *)`` probabilities.
        positive: ``(N, C, *)`` mask of the label's channel.
        weight: ``(N, *)`` pixel weights, 0 at ignored pixels: these have no influence.
        exact: Sort the errors; otherwise they are counted in buckets, which is within ``1 / BUCKETS``.
    """
    over = (0, *range(2, prob.ndim))
    slopes = sorted_slopes if exact else bucketed_slopes
    with torch.no_grad():  # in chunks: one more tensor of the size of the logits costs more than what is done to it
        seen = positive & (weight > 0).unsqueeze(1)
        labelled = (seen.flatten(2).any(2) if seen.ndim > 2 else seen).any(0)
        step = 1 if exact else CHUNK.get(prob.device.type, LARGE_CHUNK) // max(1, weight.numel())
        slope, terms = torch.zeros_like(prob), prob.new_zeros(len(labelled))
        for some in classes_to_compute(labelled).split(max(1, step)):
            p, inside = prob.index_select(1, some), positive.index_select(1, some)
            s = slopes(p, inside, weight)
            slope.index_copy_(1, some, s)
            terms.index_copy_(0, some, (p - inside.to(p.dtype)).mul_(s).sum(over))  # the error with the sign of its slope
    return _WithSlope.apply(prob, slope, terms), labelled


class _WithSlope(torch.autograd.Function):
    """Values that are known, with a gradient that is: nothing of the size of the probabilities is made for it."""

    @staticmethod
    def forward(ctx: Any, prob: Tensor, slope: Tensor, terms: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return terms.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * per_class(grad, slope), None, None


def classes_to_compute(labelled: Tensor) -> Tensor:
    """Return the ids of the classes that count; of all classes where finding them out would mean to wait for the device."""
    ids = torch.arange(len(labelled), device=labelled.device)
    if type(labelled) is Tensor and labelled.device.type == 'cpu' and not torch.compiler.is_compiling():
        return ids[labelled]
    return ids


def sorted_slopes(prob: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """Return the ``(N, 1, *)`` derivatives of one class's term by its probabilities, by the definition."""
    weight = weight.unsqueeze(1)
    error = torch.where(positive, 1 - prob, prob).masked_fill(weight == 0, 0).flatten()
    order = error.argsort(descending=True)
    hit = torch.where(positive, weight, 0).flatten()[order]
    other = weight.flatten()[order] - hit
    size = hit.sum()
    left = size - hit.cumsum(0)
    union = size + other.cumsum(0)
    # the step of 1 - left / union as one fraction: a difference of neighbours would cancel
    step = hit / union.clamp(min=TINY) + left * other / (union * (union - other)).clamp(min=TINY)
    slope = torch.zeros_like(error).scatter(0, order, step).view(prob.shape)
    return torch.where(positive, -slope, slope)


def bucketed_slopes(prob: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """Return the ``(N, C, *)`` derivatives of the terms by the probabilities, with the errors counted in buckets."""
    weight = weight.unsqueeze(1)
    bucket = error_buckets(prob, positive)
    table = slope_table(count_errors(empty_count(prob.shape[1], prob.device), bucket, weight))
    return table.to(prob.dtype).flatten().index_select(0, bucket.flatten()).view(prob.shape).mul_(weight)


def error_buckets(prob: Tensor, positive: Tensor) -> Tensor:
    """Return the buckets of the errors of ``(N, C, *)`` probabilities, as places in a flat ``(C, 2, BUCKETS)`` table."""
    error = (prob - positive.to(prob.dtype)).abs_().mul_(BUCKETS)
    bucket = error.to(torch.int32).clamp_(0, BUCKETS - 1)  # also where the probability is NaN
    bucket.add_(positive.to(torch.int32), alpha=BUCKETS)
    channels = torch.arange(prob.shape[1], device=prob.device) * (2 * BUCKETS)
    return bucket + channels.view(1, -1, *(1,) * (prob.ndim - 2))


def empty_count(channels: int, device: torch.device) -> Tensor:
    """Return ``(C, 2, BUCKETS)`` zeros for :func:`count_errors`: the pixels outside each class and those inside, by error."""
    return torch.zeros(channels, 2, BUCKETS, dtype=torch.float32 if device.type == 'mps' else torch.float64, device=device)


def count_errors(count: Tensor, bucket: Tensor, weight: Tensor) -> Tensor:
    """Add pixels to a count, and return it.

    The sums are exact integers where the weights are 0 and 1, so that their order does not matter.

    Args:
        count: From :func:`empty_count`; written to.
        bucket: ``(N, C, *)`` results of :func:`error_buckets`.
        weight: ``(N, 1, *)`` pixel weights.
    """
    count.view(-1).scatter_add_(0, bucket.flatten(), weight.to(count.dtype).expand(bucket.shape).flatten())
    return count


def slope_table(count: Tensor) -> Tensor:
    r"""Return the ``(C, 2, BUCKETS)`` derivatives by the probability of a pixel of weight 1.

    With :math:`f` pixels inside and :math:`b` outside the class in the bucket, :math:`l` inside that were not wrong before it
    and the union :math:`u` before it, the Jaccard loss goes from :math:`1 - l/u` to :math:`1 - (l - f)/(u + b)`. Along the
    straight line between, a pixel inside gets :math:`\int_0^1 \frac{dt}{u + bt}`, one outside
    :math:`\int_0^1 \frac{l - ft}{(u + bt)^2} dt`.
    """
    b, f = count.unbind(1)
    size = f.sum(-1, keepdim=True)
    left = f.cumsum(-1)  # the smallest errors first
    union = (size + b.sum(-1, keepdim=True) - b.cumsum(-1)).clamp(min=TINY)
    log, some = (b / union).log1p(), b.clamp(min=TINY)
    inside = torch.where(b > 0, log / some, 1 / union)
    late = torch.where(b > 0, (log - b / (union + b)) / some.square(), 0)
    outside = left / (union * (union + b)) - f * late
    return torch.stack([outside, -inside], 1)
