"""Objects (connected parts of a class) by size: which are found, and how much of them."""
from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIZES = 24  # the last holds all objects of 2**23 pixels and more
KEPT = ('objects', 'found', 'pixels', 'right')
FOUND = 0.5  # share of an object's pixels


def object_counts(pred: npt.NDArray[np.integer], label: npt.NDArray[np.integer], num_classes: int) -> npt.NDArray[np.int64]:
    """Return the ``(C, SIZES, 4)`` int64 counts of an image: objects, those found, their pixels, those predicted right.

    An object is a part of a class whose pixels touch, corners included; its size is the power of two below its area. It is
    found if at least half of its pixels are predicted right.

    Args:
        pred: ``(H, W)`` predicted classes.
        label: ``(H, W)`` labels in ``[0, C)``; others are no objects.
        num_classes: C.
    """
    import cv2

    counts = np.zeros((num_classes, SIZES, len(KEPT)), np.int64)
    right = pred == label
    for c in np.flatnonzero(np.bincount(label[(label >= 0) & (label < num_classes)].ravel(), minlength=num_classes)):
        mask = label == c
        number, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        area = np.bincount(parts[mask], minlength=number)[1:]
        hits = np.bincount(parts[mask & right], minlength=number)[1:]
        size = np.minimum(np.frexp(area.astype(np.float64))[1] - 1, SIZES - 1)
        for place, values in enumerate((np.ones_like(area), hits >= FOUND * area, area, hits)):
            np.add.at(counts[c, :, place], size, values)
    return counts
