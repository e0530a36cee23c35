"""What the study measured of the recommended recipe: the figures behind a suggestion."""
from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from math import log
from typing import Any

FILE = 'evidence.json'  # written by benchmarks/recipe.py from the study's results


@dataclass(frozen=True)
class Change:
    """A score in percent with cross-entropy and with the recipe.

    Args:
        before: Mean over the seeds with cross-entropy.
        after: The same with the recipe.
        low, high: 95 % interval of the paired difference over seeds, None for one seed.
    """

    before: float
    after: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Return ``57.5 → 59.5 (+2.0, 95 % interval +1.1 to +2.9)``."""
        interval = '' if self.low is None else f', 95 % interval {self.low:+.1f} to {self.high:+.1f}'
        return f'{self.before:.1f} → {self.after:.1f} ({self.after - self.before:+.1f}{interval})'


@dataclass(frozen=True)
class Measured:
    """The recipe against cross-entropy on the test images of one dataset.

    Args:
        title: Name of the dataset.
        classes: Its number of classes.
        ratio: Its imbalance ratio.
        seeds: Number of paired seeds.
        tuned: Whether the decision was tuned; if not, these are the weights alone.
        mIoU, tail: The scores.
        higher: What was better still there, as a sentence; empty if nothing was.
    """

    title: str
    classes: int
    ratio: float
    seeds: int
    tuned: bool
    mIoU: Change
    tail: Change
    higher: str = ''

    def __str__(self) -> str:
        """Return the figures as a sentence."""
        runs = '1 seed, so no interval' if self.seeds == 1 else f'{self.seeds} seeds'
        step = '' if self.tuned else ', the weights alone, before tuning'
        return (f'{self.title} ({self.ratio:,.0f} : 1, {self.classes} classes){step}: mIoU {self.mIoU}, tail {self.tail}, on '
                f'test images, {runs}.')


def measured() -> list[Measured]:
    """Return what is measured so far, a dataset each."""
    content = json.loads(files(__package__).joinpath(FILE).read_text(encoding='utf-8'))
    return [_read(entry) for entry in content['datasets'].values() if entry['seeds']]


def nearest(ratio: float, classes: int) -> Measured | None:
    """Return the figures of the dataset whose imbalance ratio and number of classes are nearest, by their logarithms."""
    return min(measured(), default=None, key=lambda m: abs(log(m.ratio / ratio)) + abs(log(m.classes / classes)))


def _read(entry: dict[str, Any]) -> Measured:
    changes = {key: Change(**entry[key]) for key in ('mIoU', 'tail')}
    return Measured(entry['title'], entry['classes'], entry['ratio'], len(entry['seeds']),
                    entry['decision'] != 'argmax', **changes, higher=_higher(entry.get('higher')))


def _higher(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ''
    mIoU, tail = (Change(**entry[key]) for key in ('mIoU', 'tail'))
    return f'{entry["way"]}: mIoU {mIoU}, tail {tail}, {len(entry["seeds"])} seeds, without tuning.'
