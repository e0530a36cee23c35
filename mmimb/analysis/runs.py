"""Results of `mmimb test`: read, checked, grouped by name."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OVERALL = ('mIoU', 'mAcc', 'aAcc')
GROUPS = ('head', 'medium', 'tail')


@dataclass(frozen=True)
class Run:
    """One name in a comparison: the same training with one or several seeds.

    Args:
        name: What tables and figure call it.
        classes: Class names in label order.
        groups: Class names by group, from frequent to rare; empty if unknown.
        values: ``(n,)`` percent for every key, one entry per seed, NaN where undefined.
        seeds: Seed of every file, None where the file names none.
        checkpoints: Checkpoint of every file, None where the file names none.
        model_classes: Class names that the model was trained on, empty if unknown.
    """

    name: str
    classes: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    values: Mapping[str, np.ndarray]
    seeds: tuple[int | None, ...]
    checkpoints: tuple[str | None, ...] = ()
    model_classes: tuple[str, ...] = ()

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


def load_runs(specs: Sequence[str]) -> list[Run]:
    """Read ``NAME=FILE.json[,FILE2.json...]`` of every entry.

    Raises:
        ValueError: An entry has another form, a name or file comes twice, a file is no result of `mmimb test`, or the files
            are of different classes or groups.
        OSError: A file cannot be read.
    """
    if not specs:
        raise ValueError('`runs` must have at least one NAME=FILE.json, got none')
    runs: list[Run] = []
    for spec in specs:
        name, _, files = spec.partition('=')
        if not name or not files or not all(files.split(',')):
            raise ValueError(f'`runs` must have the form NAME=FILE.json[,FILE2.json...], got {spec!r}')
        if name in [run.name for run in runs]:
            raise ValueError(f'`runs` must have distinct names, got {name!r} twice')
        runs.append(_load_run(name, files.split(',')))
    for run in runs:
        _require_same('classes', run.classes, runs[0].classes, where=f'{run.name} and {runs[0].name}')
    known = [run for run in runs if run.model_classes]
    for run in known:
        _require_same('model_classes', run.model_classes, known[0].model_classes, where=f'{run.name} and {known[0].name}')
    with_groups = [run for run in runs if run.groups]
    for run in with_groups:
        first = with_groups[0]
        _require_same('groups', _as_sets(run.groups), _as_sets(first.groups), where=f'{run.name} and {first.name}')
    return runs


def group_names(runs: Sequence[Run]) -> list[str]:
    """Return the groups that at least one run has a score of."""
    groups = next((run.groups for run in runs if run.groups), {})
    return [name for name in groups or GROUPS if any(f'mIoU_{name}' in run.values for run in runs)]


def class_order(runs: Sequence[Run]) -> dict[str, str]:
    """Return ``{class: group}`` from frequent to rare; classes of no known group come last, in label order, with ``''``."""
    groups = next((run.groups for run in runs if run.groups), {})
    order = {c: group for group, members in groups.items() for c in members}
    return {**order, **{c: '' for c in runs[0].classes if c not in order}}


def _load_run(name: str, files: Sequence[str]) -> Run:
    if len({Path(file).resolve() for file in files}) != len(files):
        raise ValueError(f'`runs` must name every file once (a seed that is counted twice is no second seed), got {name}='
                         f'{",".join(files)}')
    results = [_load_file(file) for file in files]
    first = results[0]
    for file, result in zip(files, results, strict=True):
        _require_same('classes', result['classes'], first['classes'], where=f'{file} and {files[0]}')
        _require_same('groups', _as_sets(result['groups']), _as_sets(first['groups']), where=f'{file} and {files[0]}')
    trained = next((result['model_classes'] for result in results if result['model_classes']), ())
    for file, result in zip(files, results, strict=True):
        if result['model_classes']:
            _require_same('model_classes', result['model_classes'], trained, where=f'{file} and another of {name}')
    keys = list(dict.fromkeys(key for result in results for key in result['metrics']))
    values = {key: np.array([result['metrics'].get(key, math.nan) for result in results]) for key in keys}
    return Run(name, first['classes'], first['groups'], values, tuple(result['seed'] for result in results),
               tuple(result['checkpoint'] for result in results), trained)


def _load_file(file: str) -> dict[str, Any]:
    if not Path(file).is_file():
        raise FileNotFoundError(f'`runs` must name files that `mmimb test --out` has written, got {file!r} (no such file)')
    try:
        data = json.loads(Path(file).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # JSON, UTF-8
        raise ValueError(f'{file}: must be JSON as `mmimb test --out` writes it, got {error}') from error
    if not isinstance(data, dict) or not isinstance(data.get('metrics'), dict):
        raise ValueError(f'{file}: must hold `metrics` as `mmimb test --out` writes them, got '
                         f'{sorted(data) if isinstance(data, dict) else type(data).__name__}')
    classes, seed = _names(file, 'classes', data.get('classes')), data.get('seed')
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f'{file}: `seed` must be an integer or null, got {seed!r}')
    groups = data.get('groups') or {}
    if not isinstance(groups, dict):
        raise ValueError(f'{file}: `groups` must be an object of lists of class names, got {groups!r}')
    groups = {name: _names(file, f'groups.{name}', members, empty=True) for name, members in groups.items()}
    grouped = [c for members in groups.values() for c in members]
    if len(set(grouped)) != len(grouped) or not set(grouped) <= set(classes):
        raise ValueError(f'{file}: `groups` must hold names of `classes`, each at most once, got {groups!r}')
    trained = _names(file, 'model_classes', data.get('model_classes', []), empty=True)
    checkpoint = data.get('checkpoint')
    return {'classes': classes, 'model_classes': trained, 'groups': groups, 'seed': seed,
            'metrics': _metrics(file, data['metrics'], classes),
            'checkpoint': checkpoint if isinstance(checkpoint, str) else None}


def _names(file: str, key: str, names: Any, *, empty: bool = False) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(c, str) for c in names) or len(set(names)) != len(names):
        raise ValueError(f'{file}: `{key}` must be a list of distinct class names, got {names!r}')
    if not names and not empty:
        raise ValueError(f'{file}: `{key}` must have at least one class name, got an empty list')
    return tuple(names)


def _metrics(file: str, metrics: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float]:
    """Return the scores as floats; what the metric may leave undefined (null or NaN) becomes NaN, elsewhere it is refused."""
    scores = {}
    for key, value in metrics.items():
        kind, dot, name = key.partition('.')
        if key not in OVERALL and not key.startswith('mIoU_') and not (dot and kind in ('IoU', 'Acc', 'Precision')):
            continue  # another metric's
        if dot and name not in classes:
            raise ValueError(f'{file}: `{key}` must be of one of `classes`, got {name!r}')
        undefined = value is None or (isinstance(value, float) and math.isnan(value))
        if undefined and key not in OVERALL:
            scores[key] = math.nan
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
            raise ValueError(f'{file}: `{key}` must be a number in [0, 100], got {value!r}')
        else:
            scores[key] = float(value)
    missing = [key for key in OVERALL if key not in scores]
    if missing or not any(key.startswith('IoU.') for key in scores):
        raise ValueError(f'{file}: `metrics` must hold the scores of LongTailIoUMetric, got no '
                         f'{missing[0] if missing else "IoU.<class>"}')
    return scores


def _as_sets(groups: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(members) for name, members in groups.items()}


def _require_same(key: str, got: Any, expected: Any, *, where: str) -> None:
    if got != expected:
        raise ValueError(f'`{key}` must be the same in all files, got different ones in {where}')
