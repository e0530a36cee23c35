"""From class counts to the class vectors of the adjusted losses; all finite for zero counts and single classes."""
from __future__ import annotations

import torch
from torch import Tensor


def log_prior(counts: Tensor) -> Tensor:
    """Return the ``(C,)`` log of the class shares; a class that never occurs counts as one."""
    counts = counts.clamp(min=1)
    return (counts / counts.sum()).log()


def margins(counts: Tensor, max_margin: float) -> Tensor:
    r"""Return LDAM's :math:`m_j = m_{max} n_j^{-1/4} / \max_k n_k^{-1/4}` (arXiv 1906.07413), zero counts as one."""
    m = counts.clamp(min=1).pow(-0.25)
    return max_margin * m / m.max()


def temperatures(counts: Tensor, gamma: float) -> Tensor:
    r"""Return the factors :math:`(n_j / n_{max})^\gamma` of the VS loss (arXiv 2103.01550), zero counts as one."""
    counts = counts.clamp(min=1)
    return (counts / counts.max()).pow(gamma)


def log_odds_bias(counts: Tensor, total: int, kappa: float) -> Tensor:
    r"""Return :math:`\kappa \log(N / n_i - 1)` (arXiv 2007.09654), with ``n / N`` clamped to ``[1 / 2N, 1 - 1 / 2N]``."""
    half = 0.5 / total
    share = (counts / total).clamp(half, 1 - half)
    return kappa * torch.log(1 / share - 1)
