"""The scanner: counts the labels as training sees them, and audits them, in one pass.

:func:`read_files` turns files into a :class:`Part`; parts of one list can be joined (:mod:`.part`); :func:`finish` turns a
complete part into a :class:`Scan`. A scan by one process goes the same way, so that its report has the same bytes.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..stats.class_stats import ClassStats
from ..stats.npz import Array
from ..stats.per_image import PerImageCounts
from .audit import audit, finding_lines
from .findings import FINDINGS
from .names import Names
from .part import Part
from .pool import read_ranges
from .reader import Reader
from .records import Records, join
from .shards import shard_ranges
from .store import IMAGES, Store

MAX_DEFAULT_WORKERS = 8
Progress = Callable[[int, int], None]


class BadLabelsError(ValueError):
    """The audit found something that ends the scan; ``problems`` has a line for each finding."""

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Scan:
    """What a scan found.

    Args:
        stats: The sums.
        per_image: The counts of every image, for samplers.
        cooccurrence: ``(C, C)`` int64, images that hold both classes.
        audit: The findings, as the report holds them.
    """

    stats: ClassStats
    per_image: PerImageCounts
    cooccurrence: Array = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    audit: dict[str, Any] = field(default_factory=dict)


def scan_dataset(dataset: Any, workers: int | None = None, split: str | None = None, *, ignore_index: int | None = None,
                 progress: Progress | None = None, other: Any = None, other_split: str | None = None,
                 strict: bool = False) -> Scan:
    """Count and audit the labels of every image of ``dataset`` once, after its own ``reduce_zero_label`` and ``label_map``.

    Args:
        dataset: A built mmseg dataset, or mmengine's or mmseg's wrappers around some.
        workers: Processes that read; 0 reads here, None takes the cores (8 at most).
        split: Name for the provenance.
        ignore_index: What the heads ignore; by default what the dataset says.
        progress: Called after each image with the number done and the number of all.
        other: The dataset of another split, which must share no files with this one.
        other_split: Its name.
        strict: Stop at the first finding.

    Raises:
        BadLabelsError: Something was found, and ``strict`` is set; or no pixel has a label.
        ValueError: The dataset is empty, or has no label loading.
        ChildProcessError: A worker was killed.
    """
    reader = Reader(dataset, ignore_index, split, other=other, other_split=other_split)
    return finish(read_files(reader, workers, progress=progress, strict=strict), strict=strict)


def read_files(reader: Reader, workers: int | None = None, shard: tuple[int, int] = (0, 1), *, store: Store | None = None,
               progress: Progress | None = None, strict: bool = False) -> Part:
    """Read the files of a shard; those that ``store`` has are not read again.

    Raises:
        BadLabelsError, ValueError, ChildProcessError: As in :func:`scan_dataset`.
    """
    workers = default_workers() if workers is None else workers
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise ValueError(f'`workers` must be an integer of at least 0, got {workers!r}')
    ranges = shard_ranges(reader.manifest, shard)
    total = sum(stop - start for start, stop in ranges)
    pieces = [] if store is None else [piece for piece in store.load(reader) if _inside(piece, ranges)]
    finished, done = join(pieces), 0
    if len(finished):
        ranges = _without(ranges, finished.positions)
        pieces, done = [finished], len(finished)
    fresh: list[Records] = []
    for records in read_ranges(reader, ranges, min(workers, total - done)):
        if strict and records.problems:
            raise _stop(_line(reader, records))
        fresh.append(records)
        for done in range(done + 1, done + len(records) + 1):  # noqa: B020
            if progress is not None:
                progress(done, total)
        if sum(map(len, fresh)) >= IMAGES:
            pieces.append(_keep(fresh, store))
            fresh = []
    records = join([*pieces, *fresh])
    names = [reader.names(position) for position in records.positions.tolist()]
    return Part(reader.manifest, records, Names.of(label for label, _ in names), Names.of(image for _, image in names))


def finish(part: Part, *, strict: bool = False) -> Scan:
    """Return the sums and findings of a part that holds every image.

    Raises:
        BadLabelsError: Something was found, and ``strict`` is set; or no pixel has a label.
        ValueError: Images are missing.
    """
    if not part.complete:
        raise ValueError(f'`part` must hold all {part.manifest.total} images, got {len(part.records)}')
    pixels = np.zeros(len(part.manifest.classes), np.int64)
    np.add.at(pixels, part.records.class_index, part.records.pixels)
    found = audit(part, pixels)
    if strict and (lines := finding_lines({k: v for k, v in found.items() if v['severity'] != 'note'})):
        raise _stop(lines[0])
    if not pixels.any():
        ignored, counted = part.records.ignored.sum(), part.records.counted.sum()
        raise BadLabelsError(f'`dataset` must have at least one labelled pixel, got {ignored} ignored ones in {counted} images',
                             finding_lines(found))
    per_image = _per_image(part.records, part.labels[:part.manifest.listed])
    together = per_image.cooccurrence(len(pixels))
    stats = _stats(part, per_image, pixels, np.diagonal(together))
    return Scan(stats, per_image, together, found)


def default_workers() -> int:
    """Return the number of cores this process may use, 8 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return min(cores, MAX_DEFAULT_WORKERS)


def _per_image(records: Records, files: Sequence[str]) -> PerImageCounts:
    """Return the counts of complete records, whose first rows are ``files``."""
    indptr = np.zeros(len(files) + 1, np.int64)
    np.cumsum(records.nnz[:len(files)], out=indptr[1:])
    return PerImageCounts(indptr, records.class_index, records.pixels, tuple(files), records.ignored[:len(files)])


def _stats(part: Part, per_image: PerImageCounts, pixels: Array, images: Array) -> ClassStats:
    rows = np.repeat(np.arange(len(per_image)), np.diff(per_image.indptr))
    of_image, image_pixels = np.zeros(len(per_image), np.int64), np.zeros_like(pixels)
    np.add.at(of_image, rows, per_image.pixels)
    np.add.at(image_pixels, per_image.class_index, of_image[rows])
    return ClassStats(pixels=tuple(pixels.tolist()), images=tuple(images.tolist()), image_pixels=tuple(image_pixels.tolist()),
                      num_images=int(part.records.counted.sum()), ignored_pixels=int(part.records.ignored.sum()),
                      classes=part.manifest.classes, provenance=part.manifest.provenance)


def _keep(fresh: list[Records], store: Store | None) -> Records:
    records = join(fresh)
    if store is not None:
        store.save(records)
    return records


def _inside(piece: Records, ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether all positions of a piece are of this shard: pieces of another may lie in the same folder."""
    return all(any(start <= position < stop for start, stop in ranges) for position in piece.positions.tolist())


def _without(ranges: Sequence[tuple[int, int]], positions: Array) -> list[tuple[int, int]]:
    """Return the ranges without ``positions``, as ranges."""
    def rest() -> Iterator[tuple[int, int]]:
        for start, stop in ranges:
            left = np.setdiff1d(np.arange(start, stop), positions)
            for run in np.split(left, np.flatnonzero(np.diff(left) != 1) + 1):
                if run.size:
                    yield int(run[0]), int(run[-1]) + 1
    return list(rest())


def _stop(line: str) -> BadLabelsError:
    return BadLabelsError(f'labels must be without findings under `strict`, got {line}', [line])


def _line(reader: Reader, records: Records) -> str:
    first = records.problems[0]
    kind = FINDINGS[first.finding]
    name = reader.names(first.position)[kind.about == 'image']
    return f'{kind.severity}: {first.finding}: {name}: {first.detail}'
