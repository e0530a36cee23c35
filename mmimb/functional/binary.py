"""Sigmoid cross-entropy, one binary problem per channel: plain, focal and distribution-balanced."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import per_class


def positive_channels(logits: Tensor, target: Tensor) -> Tensor:
    """Return the ``(N, C, *)`` mask of the label's channel; for ``C = 1``, of the pixels with label 1.

    Args:
        logits: ``(N, C, *)`` scores; only their shape counts.
        target: ``(N, *)`` labels in ``[0, max(C, 2))``, or ``(N, C, *)`` maps of 0 and 1.
    """
    if target.ndim == logits.ndim:
        return target == 1
    if logits.shape[1] == 1:
        return target.unsqueeze(1) == 1
    channels = torch.arange(logits.shape[1], device=target.device)
    return target.unsqueeze(1) == per_class(channels, logits)


def adjusted_binary_cross_entropy(logits: Tensor, positive: Tensor, *, bias: Tensor | None = None, lam: float = 1.0,
                                  factor: Tensor | None = None, gamma: float = 0.0) -> Tensor:
    r"""Element-wise focal sigmoid cross-entropy, with :math:`v = z - b`:

    * positive: :math:`f (1 - \sigma(v))^\gamma \, \mathrm{softplus}(-v)`;
    * negative: :math:`f \sigma(\lambda v)^\gamma \, \mathrm{softplus}(\lambda v) / \lambda`.

    Args:
        logits: ``(N, C, *)`` scores ``z``.
        positive: ``(N, C, *)`` mask of the channels that should fire; any number per pixel.
        bias: ``(C,)`` offsets ``b``.
        lam: Negative-tolerance scale :math:`\lambda` (arXiv 2007.09654); 1 is none.
        factor: Weights ``f`` that broadcast to the logits.
        gamma: Focal exponent; 0 is none.

    Returns:
        ``(N, C, *)`` losses.
    """
    bias = logits.new_zeros(1) if bias is None else per_class(bias, logits)
    loss: Tensor = _FocalSoftplus.apply(logits, positive, bias, lam, gamma)
    return loss if factor is None else factor * loss


def channel_cross_entropy(logits: Tensor, target: Tensor, *, bias: Tensor | None = None, lam: float = 1.0, gamma: float = 0.0,
                          factor: Tensor | None = None, table: Tensor | None = None) -> Tensor:
    r"""Per-pixel :math:`\frac1C \sum_j f_{nj} t_{yj} \ell_j`, with :func:`adjusted_binary_cross_entropy` as :math:`\ell_j`.

    The positive channel is that of the label; with one channel, it is positive where the label is 1.

    Args:
        logits: ``(N, C, *)`` scores; ``C = 1`` too.
        target: ``(N, *)`` labels in ``[0, max(C, 2))``.
        bias: ``(C,)`` offsets, subtracted from the logits.
        lam: Negative-tolerance scale; 1 is none.
        gamma: Focal exponent; 0 is none.
        factor: ``(N, C)`` weights ``f`` of the channels in image ``n``.
        table: ``(C, C)`` weights ``t``: row ``y`` holds those of the channels at pixels with label ``y``.

    Returns:
        ``(N, *)`` losses.
    """
    weight = None if factor is None else factor.view(factor.shape + (1,) * (logits.ndim - 2))
    if table is not None:
        rows = table[target].movedim(-1, 1)
        weight = rows if weight is None else weight * rows
    return adjusted_binary_cross_entropy(logits, positive_channels(logits, target), bias=bias, lam=lam, factor=weight,
                                         gamma=gamma).mean(1)


class _FocalSoftplus(torch.autograd.Function):
    r"""With :math:`u` how far a logit is on the wrong side: :math:`\sigma(u)^\gamma \mathrm{softplus}(u)` / (lam or 1).

    Written out because autograd would keep seven tensors of the size of the logits for it; this recomputes, and keeps none.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, positive: Tensor, bias: Tensor, lam: float, gamma: float) -> Tensor:
        ctx.save_for_backward(logits, positive, bias)
        ctx.lam, ctx.gamma = lam, gamma
        wrong = (logits - bias).mul_(_either(positive, -1.0, lam, logits))
        loss = F.softplus(wrong)
        if gamma != 0:
            loss.mul_(F.softplus(wrong.neg_()).mul_(-gamma).exp_())  # sigmoid(wrong) ** gamma
        del wrong
        return loss.div_(_either(positive, 1.0, lam, logits))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        logits, positive, bias = ctx.saved_tensors
        wrong = (logits - bias).mul_(_either(positive, -1.0, ctx.lam, logits))
        rate = wrong.sigmoid()
        if ctx.gamma != 0:  # the product rule: sigmoid ** gamma * (sigmoid + gamma * (1 - sigmoid) * softplus)
            rise = F.softplus(wrong).mul_(ctx.gamma)
            rise.addcmul_(rise, rate, value=-1)
            rate.add_(rise)
            del rise
            rate.mul_(F.softplus(wrong.neg_()).mul_(-ctx.gamma).exp_())
        del wrong
        return rate.mul_(_either(positive, -1.0, 1.0, logits)).mul_(grad), None, None, None, None


def _either(mask: Tensor, yes: float, no: float, like: Tensor) -> Tensor:
    return torch.where(mask, like.new_full((), yes), like.new_full((), no))


def rebalancing(presence: Tensor, counts: Tensor, *, alpha: float, beta: float, mu: float) -> Tensor:
    r"""Return :math:`\hat r_i = \alpha + \sigma(\beta (r_i - \mu))` with :math:`r_i = \frac{1/n_i}{\sum_j s_j / n_j}`.

    From arXiv 2007.09654.

    Args:
        presence: ``(*, C)`` which classes ``s`` are present in a sample, as 0 and 1.
        counts: ``(C,)`` counts ``n``, above 0.
        alpha: Least weight.
        beta: Slope of the map.
        mu: Its centre.

    Returns:
        ``(*, C)`` weights; a sample without classes has :math:`1 + \alpha` everywhere.
    """
    rarity = 1 / counts
    present = (presence * rarity).sum(-1, keepdim=True)
    return alpha + torch.sigmoid(beta * (rarity / present - mu))
