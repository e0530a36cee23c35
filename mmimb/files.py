"""Writing results, all or nothing, and locks."""
from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def require_suffix(argument: str, path: str | None, suffix: str | Sequence[str]) -> None:
    """Raise a ``ValueError`` if ``path`` is given and has another suffix than this, or than one of these."""
    suffixes = (suffix, ) if isinstance(suffix, str) else suffix
    if path is not None and Path(path).suffix.lower() not in suffixes:
        raise ValueError(f'`{argument}` must be a path that ends with {" or ".join(suffixes)}, got {path!r}')


def require_regular(path: str | Path) -> None:
    """Raise an ``OSError`` if there is something at ``path`` that is no file: a pipe or a device can be read for ever."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, 'is a pipe or a device, no file', str(path))


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
        OSError: A file cannot be written, which the error names; none is half-written then, and what was there before is kept.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(f'{str(path)!r} must be a file, got a folder')
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f'.{path.name}.{secrets.token_hex(8)}.tmp')
            try:
                with part.open('xb') as file:  # never through a link that somebody has put there
                    parts[path] = part
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:  # a full disk does not say whose
                raise OSError(error.errno, error.strerror, str(path)) from error
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def remove_leftovers(folder: Path, pattern: str) -> list[Path]:
    """Remove what killed calls of :func:`write_files` left of files whose name matches ``pattern``; return it."""
    parts = list(folder.glob(f'.{pattern}.*.tmp'))
    for part in parts:
        part.unlink(missing_ok=True)
    return parts


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Hold the lock file ``path`` and yield its descriptor, or None if another process holds it; it ends with its holders.

    A process that inherits the descriptor holds the lock, too. Where the system has no ``flock``, nobody is kept out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a') as file:
        mine = _flock(file, exclusive=True)
        for _ in range(5):
            if not mine:  # perhaps somebody has only asked whether it is locked
                time.sleep(0.1)
                mine = _flock(file, exclusive=True)
        yield file.fileno() if mine else None


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock file ``path``."""
    if not path.is_file():
        return False
    with path.open('r') as file:
        return not _flock(file, exclusive=False)


def _flock(file: IO[str], *, exclusive: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
