"""What is compared: results grouped by name, each the same training with one or several seeds."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .result import Result

GROUPS = ('head', 'medium', 'tail')


@dataclass(frozen=True)
class Run:
    """One name in a comparison: the same training with one or several seeds.

    Args:
        name: What tables and figure call it.
        classes: Class names in label order.
        groups: Class names by group, from frequent to rare; empty if unknown.
        values: ``(n,)`` percent for every key, one entry per result, NaN where undefined.
        seeds: Seed of every result, None where it is unknown.
        checkpoints: Checkpoint of every result, None where it is unknown.
        model_classes: Class names that the model was trained on, empty if unknown.
        reports: The JSON of every result that names counts per image, None where there are none.
    """

    name: str
    classes: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    values: Mapping[str, np.ndarray]
    seeds: tuple[int | None, ...]
    checkpoints: tuple[str | None, ...] = ()
    model_classes: tuple[str, ...] = ()
    reports: tuple[Path | None, ...] = ()

    def defined(self, key: str) -> np.ndarray:
        """Return the ``(k,)`` values of ``key`` that are defined, k <= n."""
        values = self.values.get(key, np.empty(0))
        return values[~np.isnan(values)]

    def mean(self, key: str) -> float:
        """Return the mean over the seeds, NaN if the key is undefined in all."""
        values = self.defined(key)
        return float(values.mean()) if len(values) else math.nan

    def std(self, key: str) -> float:
        """Return the sample standard deviation over the seeds, NaN for fewer than two."""
        values = self.defined(key)
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def make_run(name: str, results: Sequence[Result]) -> Run:
    """Return the run of some results.

    Raises:
        ValueError: They are of different classes or groups.
    """
    first = results[0]
    trained = next((result.model_classes for result in results if result.model_classes), ())
    for result in results:
        where = f'{result.source} and {first.source}'
        require_same('classes', result.classes, first.classes, where=where)
        require_same('groups', _as_sets(result.groups), _as_sets(first.groups), where=where)
        if result.model_classes:
            require_same('model_classes', result.model_classes, trained, where=f'{result.source} and another of {name}')
    keys = list(dict.fromkeys(key for result in results for key in result.metrics))
    values = {key: np.array([result.metrics.get(key, math.nan) for result in results]) for key in keys}
    return Run(name, first.classes, first.groups, values, tuple(result.seed for result in results),
               tuple(result.checkpoint for result in results), trained, tuple(result.report for result in results))


def check_runs(runs: Sequence[Run]) -> None:
    """Raise a ``ValueError`` if runs are of different classes or groups."""
    for run in runs:
        require_same('classes', run.classes, runs[0].classes, where=f'{run.name} and {runs[0].name}')
    known = [run for run in runs if run.model_classes]
    for run in known:
        require_same('model_classes', run.model_classes, known[0].model_classes, where=f'{run.name} and {known[0].name}')
    with_groups = [run for run in runs if run.groups]
    for run in with_groups:
        first = with_groups[0]
        require_same('groups', _as_sets(run.groups), _as_sets(first.groups), where=f'{run.name} and {first.name}')


def group_names(runs: Sequence[Run]) -> list[str]:
    """Return the groups that at least one run has a score of."""
    groups = next((run.groups for run in runs if run.groups), {})
    return [name for name in groups or GROUPS if any(f'mIoU_{name}' in run.values for run in runs)]


def class_order(runs: Sequence[Run]) -> dict[str, str]:
    """Return ``{class: group}`` from frequent to rare; classes of no known group come last, in label order, with ``''``."""
    groups = next((run.groups for run in runs if run.groups), {})
    order = {c: group for group, members in groups.items() for c in members}
    return {**order, **{c: '' for c in runs[0].classes if c not in order}}


def require_same(key: str, got: Any, expected: Any, *, where: str) -> None:
    """Raise a ``ValueError`` that names ``key`` if two files say different things about it."""
    if got != expected:
        raise ValueError(f'`{key}` must be the same in all files, got different ones in {where}')


def _as_sets(groups: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(members) for name, members in groups.items()}
