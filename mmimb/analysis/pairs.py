"""A run against the first one: which results belong together, and the intervals of their differences."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .image_groups import image_groups
from .paired import Interval, Key, over_seeds, over_units, unit_counts
from .result import OF_CLASS
from .runs import Run

NOTHING = Interval(math.nan, math.nan, math.nan)
SEEDS, IMAGES = 'over seeds', 'over images'


@dataclass(frozen=True)
class Comparison:
    """A run against a base.

    Args:
        run: The run.
        base: What it is compared with.
        pairs: ``(i, j)``: result ``i`` of the run belongs to result ``j`` of the base.
        by: What makes them belong together: ``'seed'``, ``'checkpoint'`` (one model, tested in two ways), ``'single'`` (each
            has one result, of different or unknown seeds), or nothing.
        images: Intervals over the images, by key; empty where not all pairs have counts per image.
        units: Number of images, or of groups of them, behind those intervals.
    """

    run: Run
    base: Run
    pairs: tuple[tuple[int, int], ...]
    by: str
    images: Mapping[str, Interval] = field(default_factory=dict)
    units: int = 0

    @property
    def seeds(self) -> list[int]:
        """The seeds of the pairs; empty unless seeds make the pairs."""
        return sorted(int(self.run.seeds[i] or 0) for i, _ in self.pairs) if self.by == 'seed' else []

    def gain(self, key: str) -> Interval:
        """Return the mean difference over the pairs in percent points, with Student's interval where there are several.

        Without pairs it is the difference of the means, and there is no interval.
        """
        if not self.pairs:
            return Interval(self.run.mean(key) - self.base.mean(key), math.nan, math.nan)
        here, there = self.run.values.get(key), self.base.values.get(key)
        if here is None or there is None:
            return NOTHING
        return over_seeds({n: float(here[i]) for n, (i, _) in enumerate(self.pairs)},
                          {n: float(there[j]) for n, (_, j) in enumerate(self.pairs)})

    def means(self, key: str) -> tuple[float, float]:
        """Return the means of the run and of the base over the pairs; over all results without pairs."""
        if not self.pairs:
            return self.run.mean(key), self.base.mean(key)
        sides = zip((self.run, self.base), zip(*self.pairs, strict=True), strict=True)
        here, there = (run.values[key][list(at)] if key in run.values else np.array([np.nan]) for run, at in sides)
        both = ~np.isnan(here - there)
        return (float(here[both].mean()), float(there[both].mean())) if both.any() else (math.nan, math.nan)

    def over_images(self, key: str) -> Interval:
        """Return the interval over the images, around the difference of the scores themselves."""
        return self.images.get(key, NOTHING)._replace(mean=self.gain(key).mean)

    def told(self, key: str) -> tuple[Interval, str]:
        """Return the difference with its interval over the seeds, else over the images, and which of them it is."""
        gain = self.gain(key)
        return (self.over_images(key), IMAGES) if math.isnan(gain.low) else (gain, SEEDS)

    def side(self, key: str) -> int:
        """Return 1 (better) or -1 (worse) where all intervals that can be told agree on it, else 0.

        One seed has no interval over seeds, and shows nothing about another training: then it is 0, unless one and the same
        model was tested in two ways.
        """
        seeds, images = self.gain(key), self.over_images(key)
        if math.isnan(seeds.low):
            return images.side if self.by == 'checkpoint' else 0
        return seeds.side if math.isnan(images.low) or images.side == seeds.side else 0


def compare_runs(runs: Sequence[Run], *, groups: str | None = None, blocks: int | None = None) -> list[Comparison]:
    """Return the comparison of each run but the first with the first.

    Args:
        runs: At least one.
        groups: File with names of images that belong together, a group per line (:func:`image_groups`).
        blocks: That many images in a row belong together.

    Raises:
        ValueError: Two results of a pair were measured on different images or labels.
        OSError: A file with counts cannot be read.
    """
    found = []
    for run in runs[1:]:
        pairs, by = _pairs(run, runs[0])
        images, units = _over_images(run, runs[0], pairs, groups, blocks)
        found.append(Comparison(run, runs[0], pairs, by, images, units))
    return found


def _pairs(run: Run, base: Run) -> tuple[tuple[tuple[int, int], ...], str]:
    if _same_checkpoints(run, base):
        return tuple((i, base.checkpoints.index(name)) for i, name in enumerate(run.checkpoints)), 'checkpoint'
    here, there = _unique(run.seeds), _unique(base.seeds)
    common = [(here[seed], there[seed]) for seed in sorted(set(here) & set(there))]
    if common:
        return tuple(common), 'seed'
    return (((0, 0), ), 'single') if len(run.seeds) == len(base.seeds) == 1 else ((), '')


def _same_checkpoints(run: Run, base: Run) -> bool:
    return None not in run.checkpoints and len(set(run.checkpoints)) == len(run.checkpoints) \
        and sorted(map(str, run.checkpoints)) == sorted(map(str, base.checkpoints))


def _unique(seeds: Sequence[int | None]) -> dict[int, int]:
    """Return ``{seed: position}`` of the seeds that are known and come once."""
    return {seed: i for i, seed in enumerate(seeds) if seed is not None and seeds.count(seed) == 1}


def _over_images(run: Run, base: Run, pairs: Sequence[tuple[int, int]], groups: str | None,
                 blocks: int | None) -> tuple[Mapping[str, Interval], int]:
    found = [(run.reports[i], base.reports[j]) for i, j in pairs if run.reports and base.reports]
    reports = [(here, there) for here, there in found if here is not None and there is not None]
    if not reports or len(reports) < len(pairs):
        return {}, 0
    counts = _Counts(len(run.classes), groups, blocks)
    keys = _keys(run)
    drawn = over_units(counts.pairs(reports), keys)
    if counts.several_labels:
        del drawn['aAcc']  # where a pixel has several labels, it is the share of right answers for all classes
    return drawn, counts.units


def _keys(run: Run) -> dict[str, Key]:
    everything, at = range(len(run.classes)), {c: i for i, c in enumerate(run.classes)}
    keys: dict[str, Key] = {'aAcc': ('aAcc', everything)}
    for group, members in {'': run.classes, **run.groups}.items():
        ids, end = [at[c] for c in members], f'_{group}' if group else ''
        keys.update({f'mIoU{end}': ('IoU', ids), f'mAcc{end}': ('Acc', ids), f'mPrecision{end}': ('PrecisionOrZero', ids)})
    keys.update({f'{kind}.{c}': (kind, [at[c]]) for kind in OF_CLASS for c in run.classes})
    return {key: value for key, value in keys.items() if len(value[1])}


class _Counts:
    """Reads counts per image in the order of the first file, and adds up those of images that belong together."""

    def __init__(self, num_classes: int, groups: str | None, blocks: int | None) -> None:
        self.num_classes, self.groups, self.blocks = num_classes, groups, blocks
        self.first: tuple[str, tuple[str, ...], np.ndarray] | None = None
        self.members: list[int] = []
        self.units, self.several_labels = 0, False

    def pairs(self, reports: Sequence[tuple[Path, Path]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for here, there in reports:
            base = self._read(there)  # first: the base's first result says which images there are, and in which order
            yield self._read(here), base

    def _read(self, report: Path) -> np.ndarray:
        from ..stats import EvaluatedCounts
        loaded = EvaluatedCounts.load(report)
        more = len(loaded.confusion) - self.num_classes
        if more not in (0, 1):
            raise ValueError(f'`per_image` of {str(report)!r} must be of its {self.num_classes} classes, got '
                             f'{len(loaded.confusion)}')
        self.several_labels = more == 1
        counts = loaded.dense(self.num_classes).transpose(1, 0, 2)
        if self.first is None:
            self.first = str(report), loaded.files, counts[:, 1]
            self.members = image_groups(loaded.files, self.groups, self.blocks)
            self.units = len(set(self.members))
        name, files, labelled = self.first
        if loaded.files != files:
            counts = counts[_order(loaded.files, files, where=f'{report} and {name}')]
        if not np.array_equal(counts[:, 1], labelled):
            image = files[int(np.flatnonzero((counts[:, 1] != labelled).any(1))[0])]
            raise ValueError(f'`runs` must have been tested against the same labels, got different ones of {image!r} in '
                             f'{report} and {name}')
        return unit_counts(counts, self.members)


def _order(files: Sequence[str], expected: Sequence[str], *, where: str) -> list[int]:
    """Return where each of the expected files is."""
    at = {file: i for i, file in enumerate(files)}
    other = sorted(set(files) ^ set(expected))
    if other or len(files) != len(expected) or len(at) != len(files):
        example = f', such as {other[0]!r}' if other else ' or one twice'
        raise ValueError(f'`runs` must have been tested on the same images to be paired, got others ({len(other)} in one of '
                         f'them only{example}) in {where}')
    return [at[file] for file in expected]
