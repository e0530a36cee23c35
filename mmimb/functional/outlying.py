"""Squared error against outlying labels (arXiv 2107.02393)."""
from __future__ import annotations

import torch
from torch import Tensor

LABEL_FUNCTIONS = ('rank', 'log', 'sqrt', 'uniform')
LABEL_ORDERS = ('rare_large', 'frequent_large')


def outlying_labels(counts: Tensor, *, label: str, order: str) -> Tensor:
    r"""Return the label value of every class, before the factor :math:`\alpha`.

    With ``order='rare_large'`` and counts :math:`n` (at least 1):

    * ``'rank'`` (the paper): :math:`1 + \#\{j : n_j > n_k\}`, ties by class id; 1 is the most frequent class, C the rarest;
    * ``'log'``: :math:`1 + \log(\max_j n_j / n_k)`;
    * ``'sqrt'``: :math:`\sqrt{\max_j n_j / n_k}`;
    * ``'uniform'``: 1 for all.

    ``order='frequent_large'`` gives the frequent classes the large values: the same functions of ``1 / n``.

    Args:
        counts: ``(C,)`` non-negative counts.
        label: One of :data:`LABEL_FUNCTIONS`.
        order: One of :data:`LABEL_ORDERS`.

    Returns:
        ``(C,)`` float64 values, 1 at the smallest.

    >>> outlying_labels(torch.tensor([100, 10, 50]), label='rank', order='rare_large')
    tensor([1., 3., 2.], dtype=torch.float64)
    """
    if label == 'uniform':
        return torch.ones_like(counts, dtype=torch.float64)
    if label == 'rank':
        position = counts.argsort(descending=order == 'rare_large', stable=True).argsort()
        return position.double() + 1
    frequency = counts.double().clamp(min=1)
    ratio = frequency.max() / frequency if order == 'rare_large' else frequency / frequency.min()
    return 1 + ratio.log() if label == 'log' else ratio.sqrt()


def outlying_squared_error(logits: Tensor, target: Tensor, *, labels: Tensor, label_weight: float = 1.0) -> Tensor:
    r"""Per-pixel :math:`\frac1C \sum_j k_j (z_j - t_j)^2` with :math:`t_y` the label value of the class and 0 elsewhere.

    :math:`k_j` is ``label_weight`` at the class of the pixel and 1 elsewhere (arXiv 2006.07322). The outputs of least loss are
    :math:`t_j k P_j / (1 + (k - 1) P_j)`, where :math:`P_j` is the probability of class j.

    Args:
        logits: ``(N, C, *)`` raw scores ``z``.
        target: ``(N, *)`` labels in ``[0, C)``; ignored pixels are the caller's business.
        labels: ``(C,)`` label values :math:`\alpha r(c)`.
        label_weight: Factor :math:`k` of the squared error at the pixel's own class; 1 is the plain squared error.

    Returns:
        ``(N, *)`` losses.
    """
    own = target.unsqueeze(1)
    square = logits.scatter_add(1, own, -labels[target].unsqueeze(1)).square()
    loss = square.mean(1)
    if label_weight != 1:
        loss = loss + (label_weight - 1) / logits.shape[1] * square.gather(1, own).squeeze(1)
    return loss
