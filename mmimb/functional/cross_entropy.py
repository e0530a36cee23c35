"""Softmax cross-entropy over adjusted logits: one formula behind most of the family."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import first_largest, per_class

TINY = 1e-12  # keeps the gradient of x ** gamma finite at 0 for gamma < 1


def adjusted_cross_entropy(logits: Tensor, target: Tensor, *, scale: Tensor | None = None, bias: Tensor | None = None,
                           margin: Tensor | None = None, relief: Tensor | None = None, gamma: float = 0.0,
                           complement: float = 0.0) -> Tensor:
    r"""Per-pixel :math:`-(1 - p_y)^\gamma \log p_y + \frac{k}{C - 1} H`.

    With :math:`v = a \odot z + b`, :math:`p = \mathrm{softmax}(v - (m_y - r_{j^*}) e_y)`, and ``H`` is the
    :func:`complement_entropy` of ``v``.

    Args:
        logits: ``(N, C, *)`` scores ``z``.
        target: ``(N, *)`` labels in ``[0, C)``; ignored pixels are the caller's business.
        scale: ``(C,)`` factors ``a``.
        bias: ``(C,)`` offsets ``b``.
        margin: ``(C,)`` margins ``m``, subtracted from the scaled logit of the label.
        relief: ``(C,)`` amounts ``r``; that of the strongest wrong class :math:`j^* = \arg\max_{j \ne y} z_j` (no gradient) is
            added to the scaled logit of the label.
        gamma: Focal exponent; 0 is plain cross-entropy.
        complement: Factor ``k`` of the complement entropy; 0 leaves it out, -1 maximises it.

    Returns:
        ``(N, *)`` losses; they may be negative with a negative ``complement``.
    """
    v = logits if scale is None else logits * per_class(scale, logits)
    v = v if bias is None else v + per_class(bias, logits)
    z = v
    if margin is not None or relief is not None:
        shift = torch.zeros_like(target, dtype=z.dtype) if margin is None else -margin[target]
        shift = shift if relief is None else shift + relief[strongest_other(logits, target)]
        z = z.scatter_add(1, target.unsqueeze(1), shift.unsqueeze(1))
    loss = F.cross_entropy(z, target, reduction='none')
    if gamma != 0:
        miss = -(-loss).expm1()  # 1 - p_y without cancellation
        loss = miss.clamp(min=TINY).pow(gamma) * loss
    return loss if complement == 0 else loss + complement / (logits.shape[1] - 1) * complement_entropy(v, target)


def strongest_other(logits: Tensor, target: Tensor) -> Tensor:
    """Return the ``(N, *)`` class with the largest of ``(N, C, *)`` logits apart from the label's; ties keep the lower id."""
    return first_largest(without_label(logits.detach(), target))


def complement_entropy(logits: Tensor, target: Tensor) -> Tensor:
    r"""Per-pixel entropy :math:`-\sum_{j \ne y} \hat P_j \log \hat P_j` of the softmax over the wrong classes.

    Finite for any logits, with :math:`\partial H / \partial z_y = 0` exactly.

    Args:
        logits: ``(N, C, *)`` scores.
        target: ``(N, *)`` labels in ``[0, C)``.

    Returns:
        ``(N, *)`` entropies in nats; 0 for ``C = 2``.
    """
    entropy: Tensor = _ComplementEntropy.apply(logits, target)
    return entropy


class _ComplementEntropy(torch.autograd.Function):
    r"""The entropy with its gradient :math:`-\hat P_j (\log \hat P_j + H)`, for which one tensor is kept, not three."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        log_p = without_label(logits, target).log_softmax(1)
        entropy = -log_p.exp().mul_(log_p).sum(1)
        ctx.save_for_backward(log_p, entropy)
        return entropy

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        log_p, entropy = ctx.saved_tensors
        slope = (log_p + entropy.unsqueeze(1)).mul_(log_p.exp())
        return slope.mul_(-grad.unsqueeze(1)), None


def without_label(logits: Tensor, target: Tensor) -> Tensor:
    """Return the logits with the label's replaced by a number so low that its softmax is 0, yet finite."""
    return logits.scatter(1, target.unsqueeze(1), torch.finfo(logits.dtype).min / 2)
