"""Writing results: all or nothing."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def require_suffix(argument: str, path: str | None, suffix: str) -> None:
    """Raise a ``ValueError`` if ``path`` is given and has another suffix."""
    if path is not None and Path(path).suffix.lower() != suffix:
        raise ValueError(f'`{argument}` must be a path that ends with {suffix}, got {path!r}')


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write every file beside its place, then move all into place; folders are made.

    Raises:
        OSError: A file cannot be written; none is half-written then.
    """
    parts: list[tuple[Path, Path]] = []
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(f'{str(path)!r} must be a file, got a folder')
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f'.{path.name}.{os.getpid()}.part')
            parts.append((part, path))
            part.write_bytes(data)
        for part, path in parts:
            part.replace(path)
    finally:
        for part, _ in parts:
            part.unlink(missing_ok=True)
