"""What an evaluation keeps: the confusion matrix, and per image the counts of every class, in the scanner's CSR form."""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .beside import file_names, load_beside

ARRAYS = ('confusion', 'indptr', 'class_index', 'intersection', 'label', 'prediction', 'files')
SUFFIX = '.counts.npz'


@dataclass(frozen=True)
class EvaluatedCounts:
    """Pixel counts of an evaluation. Those of image ``i`` are ``indptr[i]:indptr[i + 1]``.

    ``mmimb test --out metrics.json`` writes them to ``metrics.counts.npz``, an ``.npz`` (no pickles) with the arrays below
    under their names; ``per_image`` in the JSON names that file, ``per_image_sha256`` is :func:`mmimb.stats.npz.digest` of its
    arrays. A class of an image has an entry if it is labelled or predicted there; ignored pixels are in no count. The sums over
    the images are the diagonal, the row sums and the column sums of the confusion matrix. Images are in the order in which the
    sampler dealt them: that of the dataset, unless it shuffles. Results are the same for any number of ranks.

    Args:
        confusion: ``(C, C)`` int64, rows = label, columns = prediction; of a multi-label evaluation ``(C + 1, C + 1)``, where
            the last row and column stand for "not this class".
        indptr: ``(N + 1,)`` int64.
        class_index: ``(nnz,)`` int32, ascending within an image.
        intersection: ``(nnz,)`` int64, pixels of the class that are predicted as such.
        label: ``(nnz,)`` int64, labelled pixels of the class.
        prediction: ``(nnz,)`` int64, pixels predicted as the class.
        files: ``(N,)`` label files (images, where there are none) below the folder that all of them share.

    Raises:
        ValueError: The arrays do not fit each other.
    """

    confusion: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    class_index: npt.NDArray[np.int32]
    intersection: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ARRAYS[:-1]:
            value, ndim = getattr(self, name), 2 if name == 'confusion' else 1
            if value.ndim != ndim or value.dtype.kind not in 'iu':
                raise ValueError(f'`{name}` must be integers in {ndim} dimensions, got an array {value.shape} of {value.dtype}')
        rows = len(self.confusion)
        if self.confusion.shape != (rows, rows) or self.confusion.min(initial=0) < 0:
            raise ValueError(f'`confusion` must be a square of counts, got an array {self.confusion.shape}')
        if len(self.indptr) != len(self.files) + 1 or self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any():
            raise ValueError(f'`indptr` must be ascending from 0 with {len(self.files) + 1} entries, got {self.indptr!r}')
        entries = {len(getattr(self, name)) for name in ARRAYS[2:-1]}
        if entries != {int(self.indptr[-1])}:
            raise ValueError(f'`class_index` and the counts must have {self.indptr[-1]} entries, got {sorted(entries)}')
        if self.class_index.min(initial=0) < 0 or self.class_index.max(initial=0) >= rows:
            raise ValueError(f'`class_index` must be in [0, {rows}), got others')
        sums = self.totals(rows)
        if self.intersection.min(initial=0) < 0 or (self.intersection > np.minimum(self.label, self.prediction)).any():
            raise ValueError('`intersection` must be between 0 and `label` and `prediction`, got others')
        expected = np.stack([self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)])
        known = slice(None) if np.array_equal(sums, expected) else slice(-1)  # the last row may be "not this class"
        if not np.array_equal(sums[:, known], expected[:, known]):
            raise ValueError('the counts of the images must have the sums of `confusion`, got others')

    def __len__(self) -> int:
        return len(self.files)

    def rows(self) -> npt.NDArray[np.int64]:
        """Return the ``(nnz,)`` image of every entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def totals(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Return the ``(3, C)`` sums over the images: intersection, label, prediction."""
        sums = np.zeros((3, num_classes), np.int64)
        for row, name in zip(sums, ('intersection', 'label', 'prediction'), strict=True):
            np.add.at(row, self.class_index, getattr(self, name))
        return sums

    def dense(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Return the ``(3, N, C)`` counts of every image: intersection, label, prediction."""
        counts = np.zeros((3, len(self), num_classes), np.int64)
        counts[:, self.rows(), self.class_index] = self.intersection, self.label, self.prediction
        return counts

    def arrays(self) -> dict[str, Any]:
        """Return what the ``.npz`` holds."""
        return {**{name: getattr(self, name) for name in ARRAYS[:-1]}, 'files': np.array(self.files, dtype=np.str_)}

    @classmethod
    def load(cls, report: str | Path) -> EvaluatedCounts:
        """Read the counts that a JSON of ``mmimb test --out`` names.

        Raises:
            FileNotFoundError: One of the two files is not there.
            ValueError: One of them is no such file, was cut or changed, or they are not of the same evaluation.
        """
        return load_beside(Path(report), cls.of, ARRAYS, writer='`mmimb test --out`')

    @classmethod
    def of(cls, arrays: dict[str, Any]) -> EvaluatedCounts:
        """Return the counts of :meth:`arrays`."""
        return cls(**{name: arrays[name] for name in ARRAYS[:-1]}, files=file_names(arrays))


def shared_names(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths below the folder that all of them share, with forward slashes.

    >>> shared_names(['/data/labels/a/1.png', '/data/labels/b/1.png'])
    ('a/1.png', 'b/1.png')
    """
    plain = [path.replace('\\', '/') for path in paths]
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in plain]) if plain else ''
    except ValueError:  # some are absolute, others are not
        folder = ''
    return tuple(os.path.relpath(path, folder).replace('\\', '/') if folder else path for path in plain)
