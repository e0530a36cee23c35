"""Images of one split that nearly equal one of the other: neighbouring frames of a video, copies in another size or quality."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..stats.npz import Array
from .pool import read_ranges
from .reader import Reader
from .sample_reader import SampleReader

SIDE, SIZE = 16, 64  # frequencies that are kept in each direction, of an image of so many pixels
BITS = SIDE * SIDE
NEAR = 0.2  # share of the bits that differ; pictures of different scenes differ in 0.3 or more
FLAT = 4.0  # standard deviation of grey values, below which an image has no features to compare
BLOCK = 4096  # images that are compared at a time


class NearPair(NamedTuple):
    """An image and the one of the other split that is most like it.

    Args:
        image: Its name below the data root.
        other: The name of the other.
        distance: Bits that differ, of :data:`BITS`.
    """

    image: str
    other: str
    distance: int


def perceptual_hash(image: Array) -> Array | None:
    """Return ``(BITS,)`` signs (float32, 1 and -1) of the low frequencies of an image, None if it shows nothing.

    The image is made grey and small; of its cosine transform the lowest frequencies but the mean are compared with their
    median. Size, compression and brightness hardly change them.

    Args:
        image: ``(H, W, 3)`` uint8, in the order BGR.
    """
    import cv2
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if grey.std() < FLAT:
        return None
    low = cv2.dct(grey)[:SIDE, :SIDE].ravel()
    low[0] = 0
    return np.where(low > np.median(low), 1, -1).astype(np.float32)


class ImageHasher:
    """Maps positions of a scan's list, those of the other split too, to the hashes of their images."""

    def __init__(self, reader: Reader) -> None:
        self.reader = SampleReader(reader)

    def read(self, start: int, stop: int) -> list[tuple[int, Array | None]]:
        """Return position and hash of ``[start, stop)``; None for an image that cannot be read or shows nothing."""
        return [(position, self._hash(position)) for position in range(start, stop)]

    def _hash(self, position: int) -> Array | None:
        image = self.reader.image(position)
        return None if image is None or 0 in image.shape else perceptual_hash(image)


def near_duplicates(reader: Reader, *, workers: int = 0, progress: Callable[[int, int], None] | None = None) -> list[NearPair]:
    """Return every image of the split that nearly equals one of the other split, the most alike first.

    Args:
        reader: Of the scan; without another split nothing is found.
        workers: Processes that decode images; 0 decodes here.
        progress: Called after each image with the number done and the number of all.

    Raises:
        ChildProcessError: A worker was killed.
    """
    listed, total = len(reader.files), reader.manifest.total
    if total == listed:
        return []
    known: dict[int, Array] = {}
    pieces = read_ranges(ImageHasher(reader), [(0, total)], min(workers, total))
    for number, (position, found) in enumerate(chain.from_iterable(pieces), start=1):
        if found is not None:
            known[position] = found
        if progress is not None:
            progress(number, total)
    own, others = (sorted(p for p in known if (p < listed) == mine) for mine in (True, False))
    if not own or not others:
        return []
    pairs = [NearPair(reader.names(own[row])[1], reader.names(others[column])[1], distance)
             for row, column, distance in _nearest(np.stack([known[p] for p in own]), np.stack([known[p] for p in others]))]
    return sorted(pairs, key=lambda pair: pair.distance)


def _nearest(own: Array, others: Array) -> Iterator[tuple[int, int, int]]:
    """Yield ``(row, column, distance)`` for each row of ``own`` whose nearest row of ``others`` is near."""
    for start in range(0, len(own), BLOCK):
        block = own[start:start + BLOCK]
        best, column = np.full(len(block), BITS, np.float32), np.zeros(len(block), np.int64)
        for at in range(0, len(others), BLOCK):
            distance = (BITS - block @ others[at:at + BLOCK].T) / 2
            nearest = distance.argmin(1)
            value = distance[np.arange(len(block)), nearest]
            closer = value < best
            best[closer], column[closer] = value[closer], at + nearest[closer]
        for row in np.flatnonzero(best <= NEAR * BITS):
            yield start + int(row), int(column[row]), int(best[row])


def describe_pair(pair: NearPair, other_split: Any) -> dict[str, Any]:
    """Return the entry of a report for a pair."""
    return {'file': pair.image, 'other': pair.other,
            'detail': f'resembles {pair.other!r} of the {other_split} list ({pair.distance} of {BITS} bits differ)'}
