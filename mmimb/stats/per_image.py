"""Per-image class counts in CSR form: what samplers and presence statistics read."""
from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ARRAYS = ('indptr', 'class_index', 'pixels', 'files')


@dataclass(frozen=True)
class PerImageCounts:
    """The classes of every image and their pixels; those of image ``i`` are ``indptr[i]:indptr[i + 1]``.

    Args:
        indptr: ``(N + 1,)`` int64.
        class_index: ``(nnz,)`` int32, ascending within an image.
        pixels: ``(nnz,)`` int64, positive.
        files: ``(N,)`` label files relative to the data root.

    Raises:
        ValueError: The arrays do not fit each other.
    """

    indptr: npt.NDArray[np.int64]
    class_index: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int64]
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.indptr) != len(self.files) + 1 or self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any():
            raise ValueError(f'`indptr` must be ascending from 0 with {len(self.files) + 1} entries, got {self.indptr!r}')
        if not self.indptr[-1] == len(self.class_index) == len(self.pixels):
            raise ValueError(f'`class_index` and `pixels` must have {self.indptr[-1]} entries, '
                             f'got {len(self.class_index)} and {len(self.pixels)}')

    def __len__(self) -> int:
        return len(self.files)

    def arrays(self) -> dict[str, Any]:
        """Return what the ``.npz`` holds."""
        return {'indptr': self.indptr, 'class_index': self.class_index, 'pixels': self.pixels,
                'files': np.array(self.files, dtype=np.str_)}

    def dense(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Return the int64 ``(N, C)`` counts."""
        out = np.zeros((len(self), num_classes), np.int64)
        out[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.class_index] = self.pixels
        return out

    @classmethod
    def load(cls, report: str | Path) -> PerImageCounts:
        """Read the ``.npz`` that the JSON ``report`` of the scanner names.

        Raises:
            FileNotFoundError: One of the two is not there.
            ValueError: One of the two is no such file, or its arrays do not fit each other.
        """
        report = Path(report)
        try:
            name = json.loads(report.read_text(encoding='utf-8'))['per_image']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'`report` must be a scanner report that names `per_image`, got {str(report)!r}') from error
        path = report.parent / Path(name).name
        if not path.is_file():
            raise FileNotFoundError(f'`per_image` of {str(report)!r} must be a file beside it, got {name!r} (no such file)')
        try:
            with np.load(path, allow_pickle=False) as data:
                indptr, class_index, pixels, files = (data[key] for key in ARRAYS)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f'`per_image` must be the .npz of a scanner, got {str(path)!r} ({error})') from error
        return cls(indptr.astype(np.int64), class_index.astype(np.int32), pixels.astype(np.int64), tuple(files.tolist()))
