"""Counting the labels of one image: pure functions on arrays."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..stats.npz import Array

EXACT_FLOAT32 = 2**24  # cv2.calcHist counts in float32: exact up to here
SHOWN_VALUES = 5


class ClassCounts(NamedTuple):
    """What one label map holds.

    Args:
        class_index: Classes that occur, ascending, int32.
        pixels: Their pixels, int64.
        ignored: Pixels without a label.
        outside: The values that are no class, with their pixels; empty if there are none.
    """

    class_index: Array
    pixels: Array
    ignored: int
    outside: str = ''


def histogram(labels: Array) -> Array:
    """Return the int64 counts of the 256 values of a uint8 array of any shape."""
    import cv2

    flat = np.ascontiguousarray(labels).reshape(-1)
    total = np.zeros(256, np.int64)
    for start in range(0, flat.size, EXACT_FLOAT32):
        part = cv2.calcHist([flat[start:start + EXACT_FLOAT32]], [0], None, [256], [0, 256])
        total += part.reshape(-1).astype(np.int64)
    return total


def value_counts(labels: Array) -> tuple[Array, Array]:
    """Return the distinct values of an array of any shape, ascending, and their int64 counts."""
    if labels.dtype != np.uint8:
        values, counts = np.unique(labels, return_counts=True)
        return values, counts.astype(np.int64)
    counts = histogram(labels)
    values = np.flatnonzero(counts)
    return values.astype(np.uint8), counts[values]


def class_counts(values: Array, counts: Array, num_classes: int, ignore_index: int = 255) -> ClassCounts:
    """Split distinct label values with their counts: classes, ignored pixels, and values that are neither."""
    order = np.argsort(values, kind='stable')
    values, counts = values[order].astype(np.int64), counts[order]
    ignored = values == ignore_index
    wrong = ~ignored & ((values < 0) | (values >= num_classes))
    valid = ~ignored & ~wrong
    return ClassCounts(values[valid].astype(np.int32), counts[valid].astype(np.int64), int(counts[ignored].sum()),
                       show_values(values[wrong], counts[wrong]))


def show_values(values: Array, counts: Array) -> str:
    """Return ``'3 (5 pixels), 7 (1 pixels) and 2 more'`` for a detail of a finding."""
    shown = [f'{value} ({count} pixels)' for value, count in zip(values[:SHOWN_VALUES], counts[:SHOWN_VALUES], strict=True)]
    more = f' and {len(values) - SHOWN_VALUES} more' if len(values) > SHOWN_VALUES else ''
    return ', '.join(shown) + more
