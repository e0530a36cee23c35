"""The last line of every command: what a user types next, or mends first."""
from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..engine.errors import process_number
from ..printable import printable


def print_next(*words: str, note: str = '') -> None:
    """Print ``next: `` and a command of these words, and what is to be known about it."""
    print(f'next: {printable(shlex.join(words))}' + (f'   ({printable(note)})' if note else ''), flush=True)


def print_first(text: str) -> None:
    """Print what is to be mended before anything else."""
    print(f'fix first: {printable(text)}', flush=True)


def overrides(given: Sequence[str] | None) -> list[str]:
    """Return the words that give another command the overrides of the config that this one was given."""
    return ['--cfg-options', *given] if given else []


def short(path: str | Path) -> str:
    """Return a path as it is typed: relative to the current folder where it lies below that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith('..') else relative


def is_main_process() -> bool:
    """Tell whether this is the only process of a run, or its first."""
    return process_number() in (None, '0')
