"""Errors that a user can mend: one line, and exit status 2."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXPECTED = (ValueError, TypeError, OSError, ImportError)
EXIT_STATUS = 2
LOST_PEER = ('closed by peer', 'reset by peer')  # in gloo's message when another process is gone
OWN_MODULES = ('mmimb', 'tools', '__main__')


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an error that a user can cause into ``error: <message>`` on stderr and exit status 2.

    These are ``ValueError``, ``TypeError``, ``OSError``, ``ImportError`` and what a registry raises about a name that it
    does not know. Anything else is a bug and keeps its traceback, as does everything with ``MMIMB_TRACEBACK=1`` in the
    environment. A process that only loses its peers, because one of them met an error, says so in a line with status 1.
    A text in the attribute ``detail`` of the error follows the line (the tree that a dataset should have).

    Raises:
        SystemExit: With status 2 (or 1), after the line.
    """
    try:
        yield
    except Exception as error:
        if os.environ.get('MMIMB_TRACEBACK', '0') not in ('', '0'):
            raise
        if isinstance(error, RuntimeError) and any(words in str(error) for words in LOST_PEER):
            sys.stderr.write(f'error: {_rank()}another process of this run has ended; its message says why\n')
            raise SystemExit(1) from None
        if not _is_expected(error):
            raise
        detail = getattr(error, 'detail', '')
        sys.stderr.write(f'error: {_rank()}{describe(error)}\n' + (f'{detail}\n' if isinstance(detail, str) and detail else ''))
        sys.stderr.flush()
        raise SystemExit(EXIT_STATUS) from None


def describe(error: BaseException) -> str:
    """Return the message of ``error`` in one line.

    An error of a data-loading worker carries the worker's traceback: its last line is taken. The type is named where the
    message comes from another package, which may take the context for granted.
    """
    # str() of a KeyError is the repr of its message
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    own = _module(_innermost(error)).split('.')[0] in OWN_MODULES
    if text.startswith('Caught ') and 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].removeprefix(f'{type(error).__name__}: ')
        own = '`' in text
    text = ' '.join(text.split())
    if not text:
        return f'{type(error).__name__} (MMIMB_TRACEBACK=1 shows where)'
    if own or not isinstance(error, (ValueError, TypeError)):
        return text
    return f'{text} ({type(error).__name__}; MMIMB_TRACEBACK=1 shows where)'


def _is_expected(error: Exception) -> bool:
    by_registry = _module(_innermost(error)).startswith('mmengine.registry')
    return isinstance(error, EXPECTED) or (by_registry and isinstance(error, (KeyError, RuntimeError)))


def _innermost(error: BaseException) -> FrameType | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else trace.tb_frame


def _module(frame: FrameType | None) -> str:
    return '' if frame is None else str(frame.f_globals.get('__name__', ''))


def _rank() -> str:
    """Return ``'rank N: '`` in a run of several processes, else nothing; works before the process group is there."""
    world = os.environ.get('WORLD_SIZE') or os.environ.get('SLURM_NTASKS') or os.environ.get('OMPI_COMM_WORLD_SIZE') or '1'
    rank = os.environ.get('RANK') or os.environ.get('SLURM_PROCID') or os.environ.get('OMPI_COMM_WORLD_RANK') or '0'
    return f'rank {rank}: ' if world.isdigit() and int(world) > 1 else ''
