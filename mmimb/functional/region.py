"""Losses on regions: Dice and Tversky from one soft confusion, and the Lovász extension of the Jaccard loss."""
from __future__ import annotations

import torch
from torch import Tensor

from .cross_entropy import TINY

EPS = 1e-6  # pixels; pinned so that Tversky(0.5, 0.5) with EPS is Dice with 2 * EPS


def soft_confusion(prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ``(C,)`` soft true positives, false positives and false negatives over a batch.

    Args:
        prob: ``(N, C, *)`` probabilities.
        positive: ``(N, C, *)`` mask of the label's channel.
        weight: ``(N, *)`` pixel weights, 0 at ignored pixels.
    """
    over = (0, *range(2, prob.ndim))
    mass = prob * weight.unsqueeze(1)
    size = torch.where(positive, weight.unsqueeze(1), 0).sum(over)
    hit = torch.where(positive, mass, 0).sum(over)
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

    A class in neither says nothing about the batch and is left out of the average, as in the metric.
    """
    over = (0, *range(2, prob.ndim))
    if prob.shape[1] == 1:
        predicted = prob.detach() > 0.5
    else:
        predicted = torch.zeros_like(positive).scatter(1, prob.detach().argmax(1, keepdim=True), True)
    return ((positive | predicted) & valid.unsqueeze(1)).sum(over) > 0


def lovasz_loss(prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ``(C,)`` Lovász extension of the Jaccard loss (arXiv 1705.08790) and which classes have a label.

    Args:
        prob: ``(N, C, *)`` probabilities.
        positive: ``(N, C, *)`` mask of the label's channel.
        weight: ``(N, *)`` pixel weights, 0 at ignored pixels: these have no influence.
    """
    with torch.no_grad():  # class by class: sorting all of them at once would take ten times the memory of the logits
        slope = torch.empty_like(prob)
        for c in range(prob.shape[1]):
            slope[:, c] = _lovasz_slope(prob[:, c], positive[:, c], weight)
        over = (0, *range(2, prob.ndim))
        labelled = torch.where(positive, weight.unsqueeze(1), 0).sum(over) > 0
        constant = torch.where(positive, slope, 0).sum(over)  # an error is 1 - prob where the label is, and prob elsewhere
        slope = torch.where(positive, -slope, slope)
    return constant + (prob * slope).sum(over), labelled


def _lovasz_slope(prob: Tensor, inside: Tensor, weight: Tensor) -> Tensor:
    """Return the ``(N, *)`` amounts that the errors of one class are multiplied by: what each adds to the Jaccard loss."""
    error = torch.where(inside, 1 - prob, prob).masked_fill(weight == 0, 0).flatten()
    order = error.argsort(descending=True)
    hit = torch.where(inside, weight, 0).flatten()[order]
    other = weight.flatten()[order] - hit
    size = hit.sum()
    left = size - hit.cumsum(0)
    union = size + other.cumsum(0)
    # the step of 1 - left / union as one fraction: a difference of neighbours would cancel
    step = hit / union.clamp(min=TINY) + left * other / (union * (union - other)).clamp(min=TINY)
    return torch.zeros_like(error).scatter(0, order, step).view(prob.shape)
