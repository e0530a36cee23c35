"""Reading a file of class weights, which may be anybody's."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ..stats import npz

MOST_BYTES = 2**20  # tens of thousands of numbers
SHOWN = 200


class _Loader(yaml.SafeLoader):
    """Without aliases: ten lines of them can stand for more than a memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError('it must do without aliases')
        return super().compose_node(parent, index)


def _yaml(data: bytes) -> Any:
    return yaml.load(data.decode(), _Loader)


def _npy(data: bytes) -> Any:
    return npz.parse(data, 'it', 'iuf').tolist()


READERS = {'.json': lambda data: json.loads(data.decode()), '.yaml': _yaml, '.yml': _yaml, '.npy': _npy}


def read_weights(path: str | Path) -> Any:
    """Return what a ``.json``, ``.yaml`` or ``.npy`` file holds; no file can run code, or take much time or memory.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'`class_weight` must be an existing file, got {str(path)!r}')
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f'it has {path.stat().st_size} bytes, more than {MOST_BYTES}')
        return READERS[path.suffix](path.read_bytes())
    except (ValueError, yaml.YAMLError, OSError, EOFError, RecursionError, OverflowError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'`class_weight` must be a readable {path.suffix} file, got {str(path)!r} ({reason})') from error


def shortened(values: Any) -> str:
    """Return ``repr`` of something that may be long, or nested deeper than ``repr`` goes."""
    try:
        text = repr(values)
    except (RecursionError, ValueError):  # also of integers with thousands of digits
        return f'a {type(values).__name__}'
    return text if len(text) <= SHOWN else f'{text[:SHOWN]} ...'
