"""From class scores to difficulties and weights (CDB, arXiv 2010.01824; CDB-W and CDB-S, arXiv 2207.14499)."""
from __future__ import annotations

import torch
from torch import Tensor

MEASURES = ('recall', 'iou', 'f1')
LEAST_DIFFICULTY = 0.01  # of a perfect class: its weight stays above 0, and 0 / 0 cannot happen


def class_scores(hits: Tensor, labelled: Tensor, predicted: Tensor) -> Tensor:
    r"""Return recall, IoU and F1 of every class, in the order of :data:`MEASURES`; NaN where a class was never labelled.

    Args:
        hits: ``(C,)`` pixels that carry the class and were predicted as it.
        labelled: ``(C,)`` pixels that carry the class.
        predicted: ``(C,)`` pixels that were predicted as the class.

    Returns:
        ``(3, C)`` float64 scores in [0, 1].
    """
    hits, labelled, predicted = hits.double(), labelled.double(), predicted.double()
    values = torch.stack([hits / labelled, hits / (labelled + predicted - hits), 2 * hits / (labelled + predicted)])
    return torch.where(labelled > 0, values, torch.nan)


def class_difficulty(score: Tensor) -> Tensor:
    """Return ``1 - score``, clamped to [0.01, 1]."""
    return (1 - score).clamp(LEAST_DIFFICULTY, 1)


def dynamic_tau(score: Tensor, present: Tensor) -> Tensor:
    r"""Return :math:`\tau = 2\sigma(b)` with :math:`b = \max A / (\min A + 0.01) - 1` over the classes that are present.

    It is about 1 while all classes do alike, and goes to 2 as they drift apart.

    Args:
        score: ``(C,)`` scores ``A`` in [0, 1].
        present: ``(C,)`` mask of the classes in the measurement; at least one.
    """
    best = score.masked_fill(~present, -torch.inf).max()
    worst = score.masked_fill(~present, torch.inf).min()
    return 2 * (best / (worst + 0.01) - 1).sigmoid()


def difficulty_weights(difficulty: Tensor, present: Tensor, tau: Tensor | float, max_ratio: float | None = None) -> Tensor:
    r"""Return :math:`w_c = d_c^\tau K / \sum d^\tau`, of mean 1 over the K classes that are present.

    Args:
        difficulty: ``(C,)`` difficulties ``d`` in (0, 1].
        present: ``(C,)`` mask of the classes in the measurement; at least one. The others get the weight of their
            difficulty, at most the largest one in use.
        tau: Exponent; 0 makes all weights 1.
        max_ratio: Largest weight over the smallest; larger ones are lowered before scaling.
    """
    raw = (difficulty / difficulty.masked_fill(~present, 0).max()) ** tau  # the hardest has 1, so that nothing is 0 / 0
    if max_ratio is not None:
        raw = raw.minimum(max_ratio * raw.masked_fill(~present, torch.inf).min())
    raw = raw / (raw.masked_fill(~present, 0).sum() / present.sum())
    largest = raw.masked_fill(~present, 0).max()
    return torch.where(present, raw, raw.minimum(largest))
