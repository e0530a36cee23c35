"""Sigmoid cross-entropy, one binary problem per channel: plain, focal and distribution-balanced."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .cross_entropy import TINY
from .layout import per_class


def positive_channels(logits: Tensor, target: Tensor) -> Tensor:
    """Return the ``(N, C, *)`` mask of the label's channel; for ``C = 1``, of the pixels with label 1.

    Args:
        logits: ``(N, C, *)`` scores; only their shape counts.
        target: ``(N, *)`` labels in ``[0, max(C, 2))``.
    """
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
    v = logits if bias is None else logits - per_class(bias, logits)
    wrong = torch.where(positive, -v, v if lam == 1 else lam * v)  # how far the logit is on the wrong side
    loss = F.softplus(wrong)
    if gamma != 0:
        loss = wrong.sigmoid().clamp(min=TINY).pow(gamma) * loss
    if lam != 1:
        loss = torch.where(positive, loss, loss / lam)
    return loss if factor is None else factor * loss


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
