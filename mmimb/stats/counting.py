"""Counting the labels of one image, and adding up images: pure functions on arrays."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .class_stats import ClassStats
from .per_image import PerImageCounts

Array = npt.NDArray[Any]
EXACT_FLOAT32 = 2**24  # cv2.calcHist counts in float32: exact up to here
SHOWN_VALUES = 5


class ImageCount(NamedTuple):
    """What one label map holds.

    Args:
        name: File name relative to the data root.
        class_index: Classes that occur, ascending, int32.
        pixels: Their pixels, int64.
        ignored: Pixels without a label.
        problems: Rules that the file breaks; the counts are then of no use.
    """

    name: str
    class_index: Array
    pixels: Array
    ignored: int
    problems: tuple[str, ...] = ()


def histogram(labels: Array) -> Array:
    """Return the int64 counts of the 256 values of a uint8 array of any shape."""
    import cv2

    flat = np.ascontiguousarray(labels).reshape(-1)
    total = np.zeros(256, np.int64)
    for start in range(0, flat.size, EXACT_FLOAT32):
        part = cv2.calcHist([flat[start:start + EXACT_FLOAT32]], [0], None, [256], [0, 256])
        total += part.reshape(-1).astype(np.int64)
    return total


def count_labels(labels: Any, num_classes: int, ignore_index: int = 255, name: str = '') -> ImageCount:
    """Count a ``(H, W)`` array of integer labels; what breaks a rule is a problem of the result, not an exception."""
    none = np.zeros(0, np.int32), np.zeros(0, np.int64), 0
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in 'iu':
        got = f'shape {labels.shape} of {labels.dtype}' if isinstance(labels, np.ndarray) else type(labels).__name__
        return ImageCount(name, *none, (f'must be one (H, W) channel of integer labels, got {got}',))
    if labels.dtype == np.uint8:
        counts = histogram(labels)
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(labels, return_counts=True)
    ignored = values == ignore_index
    wrong = ~ignored & ((values < 0) | (values >= num_classes))
    if wrong.any():
        shown = [f'{v} ({n} pixels)' for v, n in zip(values[wrong], counts[wrong], strict=True)]
        more = f' and {len(shown) - SHOWN_VALUES} more' if len(shown) > SHOWN_VALUES else ''
        rule = f'labels must be below {num_classes} (the number of classes) or {ignore_index} (ignored)'
        return ImageCount(name, *none, (f'{rule}, got {", ".join(shown[:SHOWN_VALUES])}{more}',))
    valid = ~ignored
    return ImageCount(name, values[valid].astype(np.int32), counts[valid].astype(np.int64), int(counts[ignored].sum()))


class Accumulator:
    """Adds up images: the sums of :class:`ClassStats` and the rows of :class:`PerImageCounts`."""

    def __init__(self, num_classes: int) -> None:
        self.pixels = np.zeros(num_classes, np.int64)
        self.images = np.zeros(num_classes, np.int64)
        self.image_pixels = np.zeros(num_classes, np.int64)
        self.ignored = 0
        self._rows: list[ImageCount] = []

    def add(self, count: ImageCount) -> None:
        """Add one image."""
        self.pixels[count.class_index] += count.pixels
        self.images[count.class_index] += 1
        self.image_pixels[count.class_index] += count.pixels.sum()
        self.ignored += count.ignored
        self._rows.append(count)

    def per_image(self) -> PerImageCounts:
        """Return the counts of every image, in the order in which they were added."""
        indptr = np.cumsum([0] + [len(row.class_index) for row in self._rows], dtype=np.int64)
        return PerImageCounts(indptr=indptr,
                              class_index=np.concatenate([row.class_index for row in self._rows] or [np.zeros(0, np.int32)]),
                              pixels=np.concatenate([row.pixels for row in self._rows] or [np.zeros(0, np.int64)]),
                              files=tuple(row.name for row in self._rows))

    def stats(self, classes: tuple[str, ...], provenance: dict[str, Any]) -> ClassStats:
        """Return the sums.

        Raises:
            ValueError: No pixel has a label.
        """
        if not self.pixels.any():
            raise ValueError(f'`dataset` must have at least one labelled pixel, got {self.ignored} ignored ones '
                             f'in {len(self._rows)} images')
        return ClassStats(pixels=tuple(self.pixels.tolist()), images=tuple(self.images.tolist()),
                          image_pixels=tuple(self.image_pixels.tolist()), num_images=len(self._rows),
                          ignored_pixels=self.ignored, classes=classes, provenance=provenance)
