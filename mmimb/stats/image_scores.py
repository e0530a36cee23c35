"""Scores of single images and classes from the counts of an evaluation (arXiv 2310.19252)."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .evaluated import EvaluatedCounts

WORST = (1, 5, 10)  # percent of the images


def image_iou(counts: EvaluatedCounts, num_classes: int) -> npt.NDArray[np.float64]:
    """Return the ``(N, C)`` IoU of every class in every image, in [0, 1]; NaN where an image has no label of the class.

    A class that is only predicted in an image counts as false for the classes that were there, not as an IoU of 0 of its own:
    the definition of the paper.
    """
    hits, label, prediction = counts.dense(num_classes).astype(np.float64)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(label > 0, hits / (label + prediction - hits), np.nan)


def image_scores(counts: EvaluatedCounts, num_classes: int, worst: Sequence[int] = WORST) -> dict[str, float]:
    """Return the fine-grained scores in percent, NaN where nothing is labelled.

    ``mIoU_I``: the mean over the classes of an image, then over the images. ``mIoU_C``: the mean over the images of a class,
    then over the classes. ``mIoU_I_q5``, ``mIoU_C_q5``: the same over the worst 5 % of the images (those of a class), at least
    one. Images without a label are left out, and so are classes without one. Two classes are treated as any other number (the
    authors' code then looks at the second one only).
    """
    iou = image_iou(counts, num_classes)
    of_images = np.sort([np.nanmean(row) for row in iou if not np.isnan(row).all()])
    of_classes = [np.sort(column[~np.isnan(column)]) for column in iou.T if not np.isnan(column).all()]
    scores = {'mIoU_I': _lowest(of_images, 100), 'mIoU_C': _mean([_lowest(column, 100) for column in of_classes])}
    for q in worst:
        scores[f'mIoU_I_q{q}'] = _lowest(of_images, q)
        scores[f'mIoU_C_q{q}'] = _mean([_lowest(column, q) for column in of_classes])
    return {name: 100 * value for name, value in scores.items()}


def _lowest(ascending: npt.NDArray[np.float64], percent: int) -> float:
    """Return the mean of the lowest ``percent`` of ascending values, at least one of them."""
    return _mean(ascending[:max(1, percent * len(ascending) // 100)])


def _mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float('nan')
