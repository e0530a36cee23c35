"""File names relative to the data root, equal on every machine; many of them in one array, which processes share."""
from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from ..stats.npz import Array

SEPARATOR = b'\0'  # the one byte that no file name can hold


class Names(Sequence[str]):
    """A list of names in one array of UTF-8, each followed by a zero byte.

    Args:
        data: The bytes, as uint8.

    Raises:
        ValueError: The last name has no zero byte after it.
    """

    def __init__(self, data: Array) -> None:
        if data.dtype != np.uint8 or data.ndim != 1 or (data.size and data[-1] != 0):
            raise ValueError(f'`data` must be names with a zero byte after each, got an array {data.shape} of {data.dtype}')
        self.data = data
        self._stop = np.flatnonzero(data == 0)

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Return the names of any iterable."""
        builder = NamesBuilder()
        for name in names:
            builder.add(name)
        return builder.names()

    def __len__(self) -> int:
        return len(self._stop)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(f'`at` must be in [0, {len(self)}), got {at}')
        at = at % len(self)
        start = int(self._stop[at - 1]) + 1 if at else 0
        return self.data[start:int(self._stop[at])].tobytes().decode('utf-8', 'surrogateescape')

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


class NamesBuilder:
    """Collects :class:`Names` one by one."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, name: str) -> None:
        """Append a name."""
        self._data += name.encode('utf-8', 'surrogateescape') + SEPARATOR

    def names(self) -> Names:
        """Return all names so far."""
        return Names(np.frombuffer(bytes(self._data), np.uint8))


def root_names(parts: list[Any]) -> list[str]:
    """Return a prefix per dataset that tells data roots apart: their last folders, or '' if all have the same root."""
    roots = [str(getattr(leaf, 'data_root', None) or '').replace('\\', '/') for leaf in parts]
    folders = [posixpath.normpath(root).split('/') for root in roots]
    different = {tuple(folder) for folder in folders}
    if len(different) == 1:
        return [''] * len(parts)
    depths = range(1, max(map(len, folders)) + 1)
    depth = next(n for n in depths if len({folder[-n:] for folder in different}) == len(different))
    return [posixpath.join(*folder[-depth:]) for folder in folders]


def relative_name(path: str, leaf: Any, key: str, below: str = '') -> str:
    """Return ``path`` relative to the data root of ``leaf``, or to its folder of ``data_prefix[key]``, with forward slashes.

    ``below`` is put before it.
    """
    plain = path.replace('\\', '/')
    name = posixpath.basename(plain) if posixpath.isabs(path) else posixpath.normpath(path)
    for root in (getattr(leaf, 'data_root', None), (getattr(leaf, 'data_prefix', None) or {}).get(key)):
        start = str(root).replace('\\', '/').rstrip('/') + '/' if root else ''
        if start and plain.startswith(start):
            name = posixpath.normpath(plain[len(start):].lstrip('/'))
            break
    return posixpath.join(below, name)
