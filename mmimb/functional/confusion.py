"""Counting predictions against labels, and the scores that follow from the counts."""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .reduce import require_classes, split_ignore

PART = {'cpu': 1 << 16}  # pixels that are counted at a time: what is made of them on the way stays in the cache
LARGE_PART = 1 << 24


class Scores(NamedTuple):
    """Scores of a confusion matrix in [0, 1], float64; NaN where nothing was counted.

    ``iou``, ``accuracy`` (recall) and ``precision`` are ``(C,)``; ``overall`` is the share of right pixels, a scalar.
    """

    iou: Tensor
    accuracy: Tensor
    precision: Tensor
    overall: Tensor


def confusion_matrix(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Count how often which class was predicted for which label; without a host sync off the CPU.

    Args:
        pred: Predicted classes in ``[0, num_classes)``, any integer type; what stands at ignored pixels does not matter.
        label: Labels of the same shape, in ``[0, num_classes)`` or ``ignore_index``.
        num_classes: Number of classes C.
        ignore_index: The label of pixels that do not count.

    Returns:
        ``(C, C)`` int64 counts on the device of ``label``, rows = label, columns = prediction.

    Raises:
        ValueError: Shapes differ, or a label or prediction is out of range (on CPU; elsewhere an asynchronous assertion).

    >>> confusion_matrix(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 255]), 2)
    tensor([[1, 1],
            [0, 1]])
    """
    if pred.shape != label.shape:
        raise ValueError(f'`pred` must have the shape of `label` {tuple(label.shape)}, got {tuple(pred.shape)}')
    size = PART.get(label.device.type, LARGE_PART)
    counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=label.device)
    for guess, target in zip(pred.flatten().split(size), label.flatten().split(size), strict=True):
        target, valid = split_ignore(target.long(), ignore_index, num_classes)
        guess = guess.long().masked_fill(~valid, 0)
        require_classes('pred', guess, num_classes)
        counts.scatter_add_(0, guess.add_(target, alpha=num_classes), valid.long())
    return counts.view(num_classes, num_classes)


def scores(confusion: Tensor) -> Scores:
    r"""Return the scores of a confusion matrix.

    With the hits :math:`h_c` on the diagonal, the labelled pixels :math:`n_c` (row sums) and the predicted ones :math:`m_c`
    (column sums): IoU :math:`h_c / (n_c + m_c - h_c)`, accuracy :math:`h_c / n_c`, precision :math:`h_c / m_c`, overall
    :math:`\sum_c h_c / \sum_c n_c`. A class that is only predicted has IoU 0 and no accuracy (NaN).

    Args:
        confusion: ``(C, C)`` counts, rows = label, columns = prediction.
    """
    counts = confusion.double()
    hits, labelled, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    return Scores(hits / (labelled + predicted - hits), hits / labelled, hits / predicted, hits.sum() / counts.sum())


def f_score(confusion: Tensor, beta: float = 1.0) -> Tensor:
    r"""Return the float64 ``(C,)`` F-scores :math:`(1 + \beta^2) h_c / (\beta^2 n_c + m_c)`, with the names of :func:`scores`.

    With :math:`\beta = 1` it is the Dice coefficient. It is 0 for a class without a hit, where the harmonic mean of precision
    and recall (mmseg's form) is 0/0, and NaN for one that is neither labelled nor predicted.

    Args:
        confusion: ``(C, C)`` counts, rows = label, columns = prediction.
        beta: How many times as much recall counts as precision.
    """
    counts = confusion.double()
    return (1 + beta**2) * counts.diagonal() / (beta**2 * counts.sum(1) + counts.sum(0))
