"""The result of reading some files, in arrays: workers send it, interrupted scans store it, machines exchange it."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from ..stats.npz import Array
from .counting import ClassCounts
from .image_file import DIGEST
from .label_file import RawLabel

COLUMNS = {'positions': np.int64, 'counted': np.uint8, 'ignored': np.int64, 'nnz': np.int32, 'stamp': np.int64}
DIGESTS = ('label_digest', 'image_digest')
ENTRIES = {'class_index': np.int32, 'pixels': np.int64}
TOTALS = ('raw_images', 'raw_pixels')
NOT_COUNTED = ClassCounts(np.zeros(0, np.int32), np.zeros(0, np.int64), 0)


class FileRecord(NamedTuple):
    """What one label file and its image show.

    Args:
        stamp: Of their sizes and times (:func:`.image_file.file_stamp`).
        label_digest: 16 bytes that stand for the content of the label file; empty if it was not read.
        image_digest: The same of the image.
        counts: Pixels of each class; None if the label cannot be counted.
        raw: Values of the label file before the dataset changes them; None if they are not known.
        problems: ``(finding, detail)`` of all that is wrong.
    """

    stamp: int
    label_digest: bytes = b''
    image_digest: bytes = b''
    counts: ClassCounts | None = None
    raw: RawLabel | None = None
    problems: tuple[tuple[str, str], ...] = ()


class Problem(NamedTuple):
    """A finding at one position of the list."""

    position: int
    finding: str
    detail: str


@dataclass(frozen=True)
class Records:
    """The files at ``positions`` of a scan's list.

    Args:
        positions: ``(n,)`` int64, ascending.
        counted: ``(n,)`` uint8, 1 where the label could be counted.
        ignored: ``(n,)`` int64, ignored pixels.
        nnz: ``(n,)`` int32, classes in each label.
        stamp: ``(n,)`` int64, of the files' sizes and times: whether they are still the same when a scan goes on.
        label_digest: ``(n, 16)`` uint8, of the file's content; zeros without a file.
        image_digest: The same of the image.
        class_index: ``(sum(nnz),)`` int32, the classes.
        pixels: ``(sum(nnz),)`` int64, their pixels.
        raw_images: ``(256,)`` int64, labels whose file holds this value, before the dataset changes it.
        raw_pixels: ``(256,)`` int64, and its pixels.
        problems: What is wrong, by position.
    """

    positions: Array
    counted: Array
    ignored: Array
    nnz: Array
    stamp: Array
    label_digest: Array
    image_digest: Array
    class_index: Array
    pixels: Array
    raw_images: Array
    raw_pixels: Array
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != 'problems'}

    def check(self, total: int, num_classes: int) -> Records:
        """Return ``self`` if the arrays are those of a scan of ``total`` files; otherwise raise a ``ValueError``."""
        rules = {
            'be integers of their types': all(getattr(self, k).dtype == v for k, v in {**COLUMNS, **ENTRIES}.items()),
            'have one row for each position': all(len(getattr(self, k)) == len(self) for k in (*COLUMNS, *DIGESTS)),
            'have digests of 16 bytes': all(getattr(self, k).shape == (len(self), DIGEST) for k in DIGESTS),
            'have ascending positions in the list': _ascending(self.positions, total),
            'have as many entries as `nnz` says': self.nnz.min(initial=0) >= 0
            and all(len(getattr(self, k)) == self.nnz.sum() for k in ENTRIES),
            'have positive counts': self.pixels.min(initial=1) > 0 and self.ignored.min(initial=0) >= 0,
            'have classes of the list': 0 <= self.class_index.min(initial=0) <= self.class_index.max(initial=0) < num_classes,
            'have 256 totals': all(getattr(self, k).shape == (256, ) and getattr(self, k).dtype == np.int64 for k in TOTALS),
        }
        for rule, good in rules.items():
            if not good:
                raise ValueError(f'records must {rule}, got others')
        return self


def _ascending(positions: Array, total: int) -> bool:
    inside = len(positions) == 0 or (positions[0] >= 0 and positions[-1] < total)
    return bool(inside and (np.diff(positions) > 0).all())


class RecordsBuilder:
    """Collects the records of files, in the order of the list."""

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._files: list[FileRecord] = []
        self._raw = np.zeros((2, 256), np.int64)
        self._problems: list[Problem] = []

    def add(self, position: int, file: FileRecord) -> None:
        """Add the file at a position. Only raw values that fit a byte are counted."""
        self._positions.append(position)
        self._files.append(file._replace(raw=None))
        self._problems += [Problem(position, *problem) for problem in file.problems]
        if file.raw is not None:
            inside = (file.raw.values >= 0) & (file.raw.values < 256)
            at = file.raw.values[inside].astype(np.int64)
            self._raw[0, at] += 1
            self._raw[1, at] += file.raw.counts[inside]

    def records(self) -> Records:
        """Return what was added."""
        counts = [NOT_COUNTED if file.counts is None else file.counts for file in self._files]
        return Records(
            positions=np.array(self._positions, np.int64),
            counted=np.array([file.counts is not None for file in self._files], np.uint8),
            ignored=np.array([c.ignored for c in counts], np.int64),
            nnz=np.array([len(c.class_index) for c in counts], np.int32),
            stamp=np.array([file.stamp for file in self._files], np.int64),
            label_digest=_digests([file.label_digest for file in self._files]),
            image_digest=_digests([file.image_digest for file in self._files]),
            class_index=np.concatenate([np.zeros(0, np.int32), *(c.class_index for c in counts)]),
            pixels=np.concatenate([np.zeros(0, np.int64), *(c.pixels for c in counts)]),
            raw_images=self._raw[0], raw_pixels=self._raw[1], problems=tuple(self._problems))


def join(parts: Iterable[Records]) -> Records:
    """Return all records in the order of the list.

    Raises:
        ValueError: A position is in more than one of them.
    """
    parts = [*parts] or [RecordsBuilder().records()]
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts])
                               for name in (*COLUMNS, *DIGESTS, *ENTRIES)}
    order = np.argsort(columns['positions'], kind='stable')
    positions = columns['positions'][order]
    twice = np.flatnonzero(np.diff(positions) == 0)
    if twice.size:
        raise ValueError(f'parts must not overlap, got image {positions[twice[0]]} of the list in more than one')
    if (np.diff(order) != 1).any():
        columns.update(_reordered(columns, order))
    for name in TOTALS:
        columns[name] = np.sum([getattr(p, name) for p in parts], axis=0, dtype=np.int64)
    return Records(**columns, problems=tuple(sorted(problem for p in parts for problem in p.problems)))


def _reordered(columns: dict[str, Array], order: Array) -> dict[str, Array]:
    starts = np.concatenate([[0], np.cumsum(columns['nnz'], dtype=np.int64)])
    nnz = columns['nnz'][order]
    within = np.arange(nnz.sum()) - np.repeat(np.cumsum(nnz) - nnz, nnz)
    entries = np.repeat(starts[order], nnz) + within
    return {name: columns[name][entries if name in ENTRIES else order] for name in columns}


def _digests(digests: Sequence[bytes]) -> Array:
    return np.frombuffer(b''.join(digest or bytes(DIGEST) for digest in digests), np.uint8).reshape(-1, DIGEST)
