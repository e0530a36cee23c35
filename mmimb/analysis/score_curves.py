"""Precision and recall of every class over its score, without a threshold: is a class not seen, or seen and not believed?"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .score_sample import valid_strips

SHIFT = 20  # what is left of the bits of a positive float32 then ascends with it: 8 steps from one power of two to the next
LOW, HIGH = 8 * (127 - 6), 8 * (127 + 6)  # of 2**-6 and of 2**6
HALF = HIGH - LOW + 2  # bins on each side of 0
BINS = 2 * HALF
STRIP = 1 << 15  # pixels at a time
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreCurves:
    """Pixels of each class, and pixels of other classes, by the lead of the class's score over its strongest rival.

    A class is predicted where its lead is above 0. An offset that is added to its scores moves all of its leads by as much, so
    each edge of a bin is an offset, and the counts above it are those that this offset gives to this class alone. The softmax
    over the class and its rival, ``1 / (1 + exp(-lead))``, is the same score between 0 and 1. Bins are fixed: from 1/64 to
    64, eight to each doubling of the lead, so that scores of any size fit.

    Args:
        own: ``(C, BINS)`` int64 pixels that are labelled as the class.
        other: ``(C, BINS)`` int64 labelled pixels of other classes.
    """

    own: npt.NDArray[np.int64]
    other: npt.NDArray[np.int64]

    def above(self, c: int) -> tuple[Floats, Floats]:
        """Return the ``(BINS + 1,)`` right and predicted pixels of class ``c`` under each of :func:`offsets`."""
        counts = np.stack([self.own[c], self.own[c] + self.other[c]])
        right, predicted = np.concatenate([np.cumsum(counts[:, ::-1], 1)[:, ::-1], np.zeros((2, 1), np.int64)], 1)
        return right.astype(np.float64), predicted.astype(np.float64)

    def curve(self, c: int) -> tuple[Floats, Floats]:
        """Return the ``(BINS + 1,)`` recall and precision of class ``c`` under each of :func:`offsets`; NaN for 0/0."""
        right, predicted = self.above(c)
        with np.errstate(invalid='ignore', divide='ignore'):
            return right / right[0], right / predicted

    def average_precision(self, c: int) -> float:
        """Return the area under the steps of the curve, in [0, 1]; NaN for a class without labels."""
        recall, precision = self.curve(c)
        if math.isnan(recall[0]):
            return math.nan
        return float(np.sum((recall[:-1] - recall[1:]) * np.nan_to_num(precision[:-1])))

    def point(self, c: int, offset: float = 0.0) -> Operating:
        """Return what class ``c`` reaches under the offset nearest to ``offset``."""
        return self._operating(c, int(np.abs(offsets() - offset).argmin()))

    def best(self, c: int) -> Operating:
        """Return the offset with the best F-score of class ``c``, of equally good ones the smallest.

        Half a bin at the ends is no offset: there everything, or nothing, is predicted as the class.
        """
        right, predicted = self.above(c)
        score = 2 * right / np.maximum(right[0] + predicted, 1)
        order = np.lexsort((np.abs(offsets()[1:-1]), -score[1:-1]))
        return self._operating(c, 1 + int(order[0]))

    def _operating(self, c: int, at: int) -> Operating:
        right, predicted = (part[at] for part in self.above(c))
        labelled = float(self.own[c].sum())
        return Operating(float(offsets()[at]), share(right, labelled), share(right, predicted),
                         share(2 * right, labelled + predicted), share(right, labelled + predicted - right))


@dataclass(frozen=True)
class Operating:
    """What a class reaches under an offset of its scores; shares in [0, 1], NaN for 0/0."""

    offset: float
    recall: float
    precision: float
    f_score: float
    iou: float


def offsets() -> Floats:
    """Return the ``(BINS + 1,)`` offsets that the edges of the bins stand for, from large to small, 0 in the middle."""
    steps = (np.arange(LOW, HIGH + 1, dtype=np.int32) << SHIFT).view(np.float32).astype(np.float64)
    return np.concatenate([[np.inf], steps[::-1], [0.0], -steps, [-np.inf]])


def count_leads(logits: Any, label: Any, ignore_index: int = 255) -> Tensor:
    """Return the ``(2, C, BINS)`` int64 counts of an image: pixels of the class, and of others, by its lead.

    Args:
        logits: ``(C, ...)`` scores whose largest is the prediction; they stay on their device.
        label: ``(...)`` labels, in ``[0, C)`` or ``ignore_index``.
        ignore_index: The label of pixels that do not count.

    Raises:
        ValueError: The sizes differ, a label is out of range, or a score is NaN.
    """
    classes = len(logits)
    counts = torch.zeros(2, classes * BINS, dtype=torch.int64)
    places = torch.arange(classes, dtype=torch.int32) * BINS
    for scores, target in valid_strips(logits, label, ignore_index, STRIP):
        bins = _bins(scores) + places.to(scores.device)
        wanted = torch.from_numpy(target).long().to(scores.device)
        own = bins.gather(1, wanted[:, None])
        for row, part in enumerate((own, bins)):
            counts[row] += torch.bincount(part.flatten(), minlength=classes * BINS).cpu()
    counts[1] -= counts[0]
    return counts.view(2, classes, BINS)


def _bins(scores: Tensor) -> Tensor:
    """Return the ``(n, C)`` int32 bin of every lead; of classes with equal scores the first leads, as in an argmax."""
    if bool(scores.isnan().any()):
        raise ValueError('`logits` must be numbers, got NaN')
    first = scores.argmax(1, keepdim=True)
    best = scores.gather(1, first)
    second = scores.scatter(1, first, -math.inf).amax(1, keepdim=True)
    return (HALF - 1 - _step(best - scores)).scatter(1, first, HALF + _step(best - second))


def _step(distance: Tensor) -> Tensor:
    """Return how many edges of bins lie between 0 and a distance of 0 or more, int32."""
    return (distance.view(torch.int32) >> SHIFT).clamp(LOW - 1, HIGH) - (LOW - 1)


def share(part: float, whole: float) -> float:
    """Return ``part / whole``, NaN of nothing."""
    return float(part / whole) if whole else math.nan
