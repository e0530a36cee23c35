"""Per-image class counts in CSR form: what samplers and presence statistics read."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .beside import file_names, load_beside
from .class_stats import ClassStats
from .known import refuse_published

ARRAYS = ('indptr', 'class_index', 'pixels', 'files')
BLOCK = 4096


@dataclass(frozen=True)
class PerImageCounts:
    """The classes of every image and their pixels; those of image ``i`` are ``indptr[i]:indptr[i + 1]``.

    Args:
        indptr: ``(N + 1,)`` int64.
        class_index: ``(nnz,)`` int32, ascending within an image.
        pixels: ``(nnz,)`` int64, positive.
        files: ``(N,)`` label files relative to the data root.
        ignored: ``(N,)`` int64, ignored pixels.

    Raises:
        ValueError: The arrays do not fit each other.
    """

    indptr: npt.NDArray[np.int64]
    class_index: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int64]
    files: tuple[str, ...]
    ignored: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name in ('indptr', 'class_index', 'pixels', 'ignored'):
            value = getattr(self, name)
            if value is not None and (value.ndim != 1 or value.dtype.kind not in 'iu'):
                raise ValueError(f'`{name}` must be a list of integers, got an array {value.shape} of {value.dtype}')
        if len(self.indptr) != len(self.files) + 1 or self.indptr[0] != 0 or (self.indptr[1:] < self.indptr[:-1]).any():
            raise ValueError(f'`indptr` must be ascending from 0 with {len(self.files) + 1} entries, got {self.indptr!r}')
        if not self.indptr[-1] == len(self.class_index) == len(self.pixels):
            raise ValueError(f'`class_index` and `pixels` must have {self.indptr[-1]} entries, '
                             f'got {len(self.class_index)} and {len(self.pixels)}')
        if self.class_index.min(initial=0) < 0 or self.pixels.min(initial=1) < 1:
            raise ValueError('`class_index` must not be negative and `pixels` be positive, got others')
        if self.ignored is not None and (len(self.ignored) != len(self.files) or self.ignored.min(initial=0) < 0):
            raise ValueError(f'`ignored` must be {len(self.files)} counts, got {self.ignored!r}')

    def __len__(self) -> int:
        return len(self.files)

    def arrays(self) -> dict[str, Any]:
        """Return what the ``.npz`` holds."""
        arrays = {'indptr': self.indptr, 'class_index': self.class_index, 'pixels': self.pixels,
                  'files': np.array(self.files, dtype=np.str_)}
        return arrays if self.ignored is None else {**arrays, 'ignored': self.ignored}

    def cooccurrence(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Return the int64 ``(C, C)`` number of images that hold both classes; the diagonal is that of each class."""
        total = np.zeros((num_classes, num_classes), np.int64)
        for start in range(0, len(self), BLOCK):
            bounds = self.indptr[start:start + BLOCK + 1]
            held = np.zeros((len(bounds) - 1, num_classes), np.float32)  # sums of up to BLOCK ones are exact
            held[np.repeat(np.arange(len(held)), np.diff(bounds)), self.class_index[bounds[0]:bounds[-1]]] = 1
            total += (held.T @ held).astype(np.int64)
        return total

    @classmethod
    def load(cls, report: str | Path) -> PerImageCounts:
        """Read the ``.npz`` that the JSON ``report`` of the scanner names.

        Raises:
            FileNotFoundError: One of the two is not there.
            ValueError: One of the two is no such file, was cut or changed, or they are not of the same scan.
        """
        refuse_published(report)
        report = Path(report)
        counts = load_beside(report, cls._of, ARRAYS, ('ignored', ), writer='`mmimb scan`', older=True)
        counts._compare(report)
        return counts

    @classmethod
    def _of(cls, arrays: dict[str, Any]) -> PerImageCounts:
        """Return the counts of :meth:`arrays`."""
        return cls(arrays['indptr'], arrays['class_index'], arrays['pixels'], file_names(arrays), arrays.get('ignored'))

    def _compare(self, report: Path) -> None:
        """Raise a ``ValueError`` if the sums are not those of the JSON."""
        stats = ClassStats.load(report)
        same = self.class_index.max(initial=0) < stats.num_classes
        if same:
            pixels, images = np.zeros((2, stats.num_classes), np.int64)
            np.add.at(pixels, self.class_index, self.pixels)
            np.add.at(images, self.class_index, 1)
            same = pixels.tolist() == [*stats.pixels] and (stats.images is None or images.tolist() == [*stats.images])
        if not same:
            raise ValueError(f'`per_image` of {str(report)!r} must be counts of the same scan, got others; scan it again')
