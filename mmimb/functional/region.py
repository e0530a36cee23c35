"""Losses on regions, from one soft confusion."""
from __future__ import annotations

import torch
from torch import Tensor

from .cross_entropy import TINY
from .layout import first_largest

EPS = 1e-6  # pixels; pinned so that Tversky(0.5, 0.5) with EPS is Dice with 2 * EPS


def soft_confusion(prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ``(C,)`` soft true positives, false positives and false negatives over a batch.

    Args:
        prob: ``(N, C, *)`` probabilities.
        positive: ``(N, C, *)`` mask of the label's channel.
        weight: ``(N, *)`` pixel weights, 0 at ignored pixels; ``(N, C, *)`` where a pixel can have several labels.
    """
    over = (0, *range(2, prob.ndim))
    weight = weight if weight.ndim == prob.ndim else weight.unsqueeze(1)
    mass, label = prob * weight, positive.to(prob.dtype)
    size, hit = (label * weight).sum(over), (label * mass).sum(over)
    return hit, mass.sum(over) - hit, size - hit


def tversky_loss(confusion: tuple[Tensor, Tensor, Tensor], *, alpha: float, beta: float, gamma: float = 1.0) -> Tensor:
    r"""Return the ``(C,)`` :math:`(1 - T)^\gamma` with :math:`T = \frac{tp + \epsilon}{tp + \alpha fp + \beta fn + \epsilon}`.

    From arXiv 1706.05721; ``alpha = beta = 0.5`` is one minus Dice.
    """
    tp, fp, fn = confusion
    miss = (alpha * fp + beta * fn) / (tp + alpha * fp + beta * fn + EPS)
    return miss if gamma == 1 else miss.clamp(min=TINY).pow(gamma)


def occurring(prob: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
    """Return the ``(C,)`` mask of the classes that are the label or the prediction of a valid pixel.

    A class in neither says nothing about the batch and is left out of the average, as in the metric. Masks ``valid`` of
    ``(N, C, *)`` say that a pixel can have several labels: each channel above 0.5 is then a prediction.
    """
    several = valid.ndim == prob.ndim
    if several or prob.shape[1] == 1:
        predicted = prob.detach() > 0.5
    else:
        predicted = torch.zeros_like(positive).scatter(1, first_largest(prob).unsqueeze(1), True)
    return ((positive | predicted) & (valid if several else valid.unsqueeze(1))).transpose(0, 1).flatten(1).any(1)
