"""Single images and labels of a dataset, as its own pipeline loads them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..stats.npz import Array
from .file_reader import FileReader
from .labels import packed_labels
from .reader import Reader


class SampleReader:
    """Reads single images and labels as the dataset's own pipeline loads them.

    Args:
        reader: Of the scan, whose positions are the rows of its per-image counts.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def labels(self, position: int) -> Array | None:
        """Return the ``(H, W)`` labels of an image, None if they cannot be read."""
        labels = packed_labels(self._run(position, self._of(position).chain.steps))
        return labels if labels is not None and labels.ndim == 2 else None

    def image(self, position: int) -> Array | None:
        """Return an image as ``(H, W, 3)`` uint8 in the order BGR, None if it cannot be read."""
        loader = self._image_loader(position)
        data = self._run(position, [] if loader is None else [loader])
        image = data.get('img') if isinstance(data, dict) else None
        return None if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) else _three_bytes(image)

    def _image_loader(self, position: int) -> Any:
        """Return the loader of an image, those of the other split included."""
        own, other = self.reader.files, self.reader.other_files
        if position >= len(own) and other is not None:
            return self.reader.other_loaders[int(other.source[position - len(own)])]
        return self._of(position).image_loader

    def _of(self, position: int) -> FileReader:
        return self.reader.file_readers[int(self.reader.files.source[position])]

    def _run(self, position: int, loaders: Sequence[Any]) -> Any:
        try:
            data = self.reader.info(position)
            for loader in loaders:
                data = loader(data)
        except Exception:  # a decoder may raise anything; the audit names the file
            return None
        return data


def _three_bytes(image: Array) -> Array:
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, axis=2)
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image.astype(np.float64) - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return np.ascontiguousarray(image)
