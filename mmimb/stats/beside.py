"""The counts per image beside a JSON report, which names their file as ``per_image``."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from . import npz
from .report_json import read_object

T = TypeVar('T')


def load_beside(report: Path, of: Callable[[dict[str, Any]], T], names: Iterable[str], optional: Iterable[str] = (), *,
                writer: str, older: bool = False) -> T:
    """Return what ``of`` makes of the arrays in the ``.npz`` that a JSON names.

    Args:
        report: The JSON.
        of: Raises a ``ValueError`` for arrays that do not fit each other.
        names: Of the arrays.
        optional: Of arrays that may be missing.
        writer: The command that writes both files.
        older: Accept a JSON without ``per_image_sha256``.

    Raises:
        FileNotFoundError: One of the two files is not there.
        ValueError: One of them is no such file, was cut or changed, or they were not written together.
    """
    data = read_object(report, 'report', writer)
    if not isinstance(data.get('per_image'), str):
        raise ValueError(f'`report` must be a report of {writer} that names `per_image`, got {str(report)!r}')
    path = report.parent / Path(data['per_image']).name
    if not path.is_file():
        raise FileNotFoundError(f'`per_image` of {str(report)!r} must be a file beside it, got {path.name!r} (no such file)')
    try:
        arrays = npz.read(path, names, optional)
        counts = of(arrays)
    except ValueError as error:
        raise ValueError(f'`per_image` of {str(report)!r}: {error}') from error
    digest = npz.digest(arrays)
    if data.get('per_image_sha256', digest if older else None) != digest:
        raise ValueError(f'`per_image` of {str(report)!r} must hold the counts that were written, got others '
                         '(`per_image_sha256` does not fit)')
    return counts


def file_names(arrays: dict[str, Any]) -> tuple[str, ...]:
    """Return the entries of the array ``files``, or raise a ``ValueError`` if they are no names."""
    files = arrays['files']
    if files.ndim != 1 or files.dtype.kind != 'U':
        raise ValueError(f'`files` must be names, got {files.dtype}')
    return tuple(files.tolist())
