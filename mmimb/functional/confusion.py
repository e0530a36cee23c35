"""Counting predictions against labels, and the scores that follow from the counts."""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .reduce import require_classes, split_ignore


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
    target, valid = split_ignore(label.long(), ignore_index, num_classes)
    guess = pred.long().masked_fill(~valid, 0)
    require_classes('pred', guess, num_classes)
    cells = (target * num_classes + guess).flatten()
    counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=label.device)
    return counts.scatter_add_(0, cells, valid.flatten().long()).view(num_classes, num_classes)


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
