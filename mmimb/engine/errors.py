"""Errors that a user can mend: one line, and exit status 2."""
from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..printable import printable, printable_lines
from .unknown_types import unknown_type

EXPECTED = (ValueError, TypeError, OSError, ImportError)
EXIT_STATUS = 2
LOST_PEER = ('closed by peer', 'reset by peer')  # in gloo's message when another process is gone
OWN_MODULES = ('mmimb', 'tools', '__main__')
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota, limit of a file
REFUSALS = (ValueError, TypeError, KeyError, RuntimeError, AssertionError)  # of other packages


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an error that a user can cause into ``error: <message>`` on stderr and exit status 2.

    These are ``ValueError``, ``TypeError``, ``OSError``, ``ImportError``, what a registry raises about a name that it does
    not know, and what a class of another package raises as a registry builds it (``RuntimeError``, ``AssertionError``,
    ``KeyError``: gdal or compiled operators are missing, an argument is refused). Anything else is a bug and keeps its
    traceback, as does everything with ``MMIMB_TRACEBACK=1`` in the environment. A process that only loses its peers, because
    one of them met an error, says so in a line with status 1. A text in the attribute ``detail`` of the error follows the
    line (the tree that a dataset should have). Characters that the terminal cannot print are written as escapes.

    Raises:
        SystemExit: With status 2 (or 1), after the line.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    try:
        yield
    except Exception as error:
        if os.environ.get('MMIMB_TRACEBACK', '0') not in ('', '0'):
            raise
        if isinstance(error, (RuntimeError, ConnectionError)) and any(words in str(error) for words in LOST_PEER):
            sys.stderr.write(f'error: {_rank()}another process of this run has ended; its message says why\n')
            raise SystemExit(1) from None
        if not _is_expected(error):
            raise
        detail = getattr(error, 'detail', '')
        text = f'error: {_rank()}{describe(error)}\n' + (f'{detail}\n' if isinstance(detail, str) and detail else '')
        sys.stderr.write(printable_lines(text))
        sys.stderr.flush()
        raise SystemExit(EXIT_STATUS) from None


def describe(error: BaseException) -> str:
    """Return the message of ``error`` in one line.

    An error of a data-loading worker carries the worker's traceback: its last line is taken. The type is named where the
    message comes from another package, which may take the context for granted.
    """
    dataset = _empty_dataset(error)
    if dataset is not None:
        places = {'ann_file': getattr(dataset, 'ann_file', ''), **(getattr(dataset, 'data_prefix', None) or {})}
        where = ', '.join(f'{name}={place!r}' for name, place in places.items() if place)
        name = type(dataset).__name__
        return f'`dataset` must have at least one image, got an empty {name} ({where or "without any folder"})'
    # str() of a KeyError is the repr of its message
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    own = _module(_innermost(error)).split('.')[0] in OWN_MODULES
    if text.startswith('Caught ') and 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].removeprefix(f'{type(error).__name__}: ')
        own = '`' in text
    text = printable(' '.join(text.split()))
    if _by_registry(error) and (line := unknown_type(text)) is not None:
        return line
    if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
        return f'{text}: {printable(_written(error))!r}'
    if not text:
        return f'{type(error).__name__} (MMIMB_TRACEBACK=1 shows where)'
    if own or _by_registry(error) or not isinstance(error, REFUSALS):
        return text
    return f'{text} ({type(error).__name__}; MMIMB_TRACEBACK=1 shows where)'


def _is_expected(error: Exception) -> bool:
    if isinstance(error, EXPECTED):
        return True
    if isinstance(error, RuntimeError) and re.match(r'Please install \S+ for \S+ ops', str(error)):
        return True  # how onedl-mmsegmentation says, in a forward, that compiled operators are missing
    foreign = _module(_innermost(error)).split('.')[0] not in OWN_MODULES
    in_registry = any(_module(frame).startswith('mmengine.registry') for frame in _frames(error))
    return foreign and in_registry and isinstance(error, (KeyError, RuntimeError, AssertionError))


def _by_registry(error: BaseException) -> bool:
    return isinstance(error, (KeyError, RuntimeError)) and _module(_innermost(error)).startswith('mmengine.registry')


def _written(error: BaseException) -> str:
    """Return the file that was being written, which the error of a full disk does not name; ``'?'`` if it cannot be told."""
    places = (frame.f_locals.get(name) for frame in reversed([*_frames(error)]) for name in ('filepath', 'path', 'filename'))
    return next((str(place) for place in places if isinstance(place, (str, os.PathLike))), '?')


def _empty_dataset(error: BaseException | None) -> Any:
    """Return the dataset of mmengine that has found no image, which NumPy says in words of its own; None for other errors."""
    while error is not None:
        for frame in _frames(error):
            dataset = frame.f_locals.get('self')
            if frame.f_code.co_name == '_serialize_data' and getattr(dataset, 'data_list', None) == []:
                return dataset
        error = error.__cause__ or error.__context__
    return None


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _innermost(error: BaseException) -> FrameType | None:
    return next(reversed([*_frames(error)]), None)


def _module(frame: FrameType | None) -> str:
    return '' if frame is None else str(frame.f_globals.get('__name__', ''))


def process_number() -> str | None:
    """Return the number of this process in a run of several, from the environment; works before the process group is there."""
    world = os.environ.get('WORLD_SIZE') or os.environ.get('SLURM_NTASKS') or os.environ.get('OMPI_COMM_WORLD_SIZE') or '1'
    rank = os.environ.get('RANK') or os.environ.get('SLURM_PROCID') or os.environ.get('OMPI_COMM_WORLD_RANK') or '0'
    return rank if world.isdigit() and int(world) > 1 else None


def _rank() -> str:
    number = process_number()
    return '' if number is None else f'rank {number}: '
