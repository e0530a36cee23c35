"""The work folders of runs, finished or going on: which runs there are, how far they are, and what they have measured."""
from __future__ import annotations

import ast
import glob
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import is_locked
from .result import Result, check_groups, check_metrics, read_result
from .scalars import dumped_config, literal, progress, starts, total_steps, validations

RUN, LOCK, METRICS = 'run.json', 'lock', 'metrics.json'  # what `train --seeds` keeps in the folder of a run
TRAINED, SEED = 'trained', 'seed-'
DEPTH = 4
NOT_THE_METHOD = ('randomness', 'work_dir', 'launcher', 'load_from', 'resume', 'visualizer', 'vis_backends', 'log_level',
                  'env_cfg', 'model_wrapper_cfg')


@dataclass(frozen=True)
class WorkDir:
    """The folder of one run.

    Args:
        path: The folder.
        name: Of the method: that of the config.
        seed: Of the training, None if the config names none.
        config: The settings that the run dumped.
        validations: Scores of every validation, by step.
        total: The step at which training ends, None if unknown.
        unit: Of the steps: ``'iter'`` or ``'epoch'``.
        finished: Whether training has ended.
        locked: Whether a process works in the folder (runs of ``train --seeds``).
    """

    path: Path
    name: str
    seed: int | None
    config: Mapping[str, ast.expr]
    validations: Mapping[int, Mapping[str, Any]]
    total: int | None
    unit: str
    finished: bool
    locked: bool

    @property
    def metrics(self) -> Path | None:
        """The result of its test, None without one."""
        path = self.path / METRICS
        return path if path.is_file() else None

    def state(self) -> str:
        """Return how far it is, in words."""
        if self.finished:
            return 'is trained' if self.metrics else 'is trained and not tested'
        step, unit = progress(self.path)[self.unit], {'iter': 'iteration'}.get(self.unit, self.unit)
        of = f' of {self.total}' if self.total is not None and self.total >= step else ''
        at = f'at {unit} {step}{of}' if step else 'before its first iteration is logged'
        if self.locked:
            return f'is running, {at}'
        return f'is running or was interrupted, {at} (last written {_ago(self.path)} ago)'

    def result(self, step: int) -> Result:
        """Return the scores of the validation at ``step``.

        Raises:
            ValueError: They are not those of ``LongTailIoUMetric``.
        """
        scores, source = self.validations[step], str(self.path)
        classes = tuple(key.removeprefix('IoU.') for key in scores if key.startswith('IoU.'))
        groups = check_groups(source, self._groups(classes), classes)
        return Result(source, classes, check_metrics(source, scores, classes, groups), groups, self.seed)

    def tested(self) -> Result:
        """Return the scores of its test."""
        result = read_result(self.path / METRICS)
        return result if result.seed is not None else Result(**{**vars(result), 'seed': self.seed})

    def _groups(self, classes: Sequence[str]) -> dict[str, list[str]]:
        """Return head, medium and tail by the statistics of the evaluator, as the metric made them; empty where it had none."""
        evaluators = literal(self.config.get('val_evaluator'))
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            stats = evaluator.get('stats') if isinstance(evaluator, dict) and not evaluator.get('groups') else None
            if isinstance(stats, dict):
                from ..stats import ClassStats
                return {name: [classes[c] for c in ids] for name, ids in ClassStats.load(stats).groups().items()
                        if max(ids, default=-1) < len(classes)}
        return {}


def find_work_dirs(pattern: str) -> list[WorkDir]:
    """Return the runs in the folders that a path or a glob names: these themselves, or below them.

    Raises:
        FileNotFoundError: There is no such folder, or no run in it.
    """
    folders = [pattern] if os.path.isdir(pattern) else sorted(path for path in glob.glob(pattern) if os.path.isdir(path))
    if not folders:
        raise FileNotFoundError(f'`runs` must name work folders or files NAME=FILE.json, got {pattern!r} (no such folder)')
    found = [_read(path) for folder in folders for path in _below(Path(folder), DEPTH)]
    if not found:
        raise FileNotFoundError(f'`runs` must name work folders of runs (with scalars.json or {METRICS} in them), got '
                                f'{pattern!r}')
    return found


def same_method(first: WorkDir, second: WorkDir) -> list[str]:
    """Return the settings in which the dumped configs of two runs differ, apart from the seed and where they ran."""
    if not first.config or not second.config:
        return []
    keys = [key for key in {**first.config, **second.config} if key not in NOT_THE_METHOD]
    return [key for key in keys if _text(first.config.get(key)) != _text(second.config.get(key))]


def _text(node: ast.expr | None) -> str:
    return '' if node is None else ast.dump(node)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    is_run = (folder / RUN).is_file() or (folder / METRICS).is_file() or bool(starts(folder))
    if is_run:
        yield folder
    for child in sorted(path for path in folder.iterdir() if path.is_dir()) if depth else ():
        if child.name.startswith(SEED if is_run else '') and not child.name.startswith('.'):
            yield from _below(child, depth - 1)


def _read(path: Path) -> WorkDir:
    record = read_record(path / RUN)
    stem, config = dumped_config(path)
    randomness = literal(config.get('randomness'))
    seed = record.get('seed', randomness.get('seed') if isinstance(randomness, dict) else None)
    found, (total, unit) = validations(path), total_steps(config)
    finished = record['state'] == TRAINED if 'state' in record else total is None or max(found, default=0) >= total
    name = record.get('name') or stem or (path.parent.name if path.name.startswith(SEED) else path.resolve().name)
    return WorkDir(path, name, seed if isinstance(seed, int) else None, config, found, total, unit, finished,
                   is_locked(path / LOCK))


def read_record(path: Path) -> dict[str, Any]:
    """Return what `mmimb train --seeds` has written about a run, nothing if it has not.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f'{path}: must be JSON as `mmimb train --seeds` writes it, got {error}') from error
    if not isinstance(record, dict):
        raise ValueError(f'{path}: must be an object as `mmimb train --seeds` writes it, got {type(record).__name__}')
    return record


def _ago(folder: Path) -> str:
    """Return how long ago something was last written below the starts of a run, such as ``'5 min'``."""
    times = [path.stat().st_mtime for start in starts(folder) for path in (start / 'vis_data').iterdir()]
    seconds = max(0.0, time.time() - max(times, default=folder.stat().st_mtime))
    for unit, size in (('days', 86400), ('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.0f} {unit}'
    return f'{seconds:.0f} s'
