"""Writing results: all or nothing."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def require_suffix(argument: str, path: str | None, suffix: str) -> None:
    """Raise a ``ValueError`` if ``path`` is given and has another suffix."""
    if path is not None and Path(path).suffix.lower() != suffix:
        raise ValueError(f'`{argument}` must be a path that ends with {suffix}, got {path!r}')


def check_writable(argument: str, path: str | Path) -> None:
    """Raise an error that names the argument and the path, unless a file can be written there: before long work, not after.

    Raises:
        OSError: The path is a folder, or its folder (the nearest that exists) takes no file.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'`{argument}` must be a file, got the folder {str(path)!r}')
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix='.mmimb-'):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f'`{argument}` must be in a folder that can be written to, got {str(path)!r} ({reason})') from error


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write every file beside its place, then move all into place; folders are made.

    Raises:
        OSError: A file cannot be written; none is half-written then, and what was there before is kept.
    """
    parts = {path: path.with_name(f'.{path.name}.{os.getpid()}.tmp') for path in files}
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(f'{str(path)!r} must be a file, got a folder')
            path.parent.mkdir(parents=True, exist_ok=True)
            with parts[path].open('wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
