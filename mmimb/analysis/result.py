"""One result: the scores of one trained model on one set of images, checked."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OVERALL = ('mIoU', 'mAcc', 'aAcc')
OF_CLASS = ('IoU', 'Acc', 'Precision')


@dataclass(frozen=True)
class Result:
    """The scores of a model.

    Args:
        source: The file or folder that they come from, for messages.
        classes: Class names in label order.
        metrics: Percent for every key, NaN where undefined.
        groups: Class names by group, from frequent to rare; empty if unknown.
        seed: Of the training, None if unknown.
        checkpoint: What was tested, None if unknown.
        model_classes: Class names that the model was trained on, empty if unknown.
        report: The JSON that names counts per image, None if it names none.
    """

    source: str
    classes: tuple[str, ...]
    metrics: Mapping[str, float]
    groups: Mapping[str, tuple[str, ...]]
    seed: int | None = None
    checkpoint: str | None = None
    model_classes: tuple[str, ...] = ()
    report: Path | None = None


def read_result(file: str | Path) -> Result:
    """Read what ``mmimb test --out`` has written.

    Raises:
        ValueError: It is no such file, or its content is impossible.
        OSError: It cannot be read.
    """
    file = str(file)
    try:
        data = json.loads(Path(file).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # JSON, UTF-8
        raise ValueError(f'{file}: must be JSON as `mmimb test --out` writes it, got {error}') from error
    if not isinstance(data, dict) or not isinstance(data.get('metrics'), dict):
        raise ValueError(f'{file}: must hold `metrics` as `mmimb test --out` writes them, got '
                         f'{sorted(data) if isinstance(data, dict) else type(data).__name__}')
    classes, seed = class_names(file, 'classes', data.get('classes')), data.get('seed')
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f'{file}: `seed` must be an integer or null, got {seed!r}')
    checkpoint = data.get('checkpoint')
    groups = check_groups(file, data.get('groups') or {}, classes)
    return Result(file, classes, check_metrics(file, data['metrics'], classes, groups), groups, seed,
                  checkpoint if isinstance(checkpoint, str) else None,
                  class_names(file, 'model_classes', data.get('model_classes', []), empty=True),
                  Path(file) if data.get('per_image') is not None else None)


def class_names(source: str, key: str, names: Any, *, empty: bool = False) -> tuple[str, ...]:
    """Return a list of distinct names as a tuple, or raise a ``ValueError``."""
    if not isinstance(names, list) or not all(isinstance(c, str) for c in names) or len(set(names)) != len(names):
        raise ValueError(f'{source}: `{key}` must be a list of distinct class names, got {names!r}')
    if not names and not empty:
        raise ValueError(f'{source}: `{key}` must have at least one class name, got an empty list')
    return tuple(names)


def check_groups(source: str, groups: Any, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return ``{group: class names}``, or raise a ``ValueError``."""
    if not isinstance(groups, dict):
        raise ValueError(f'{source}: `groups` must be an object of lists of class names, got {groups!r}')
    groups = {name: class_names(source, f'groups.{name}', members, empty=True) for name, members in groups.items()}
    grouped = [c for members in groups.values() for c in members]
    if len(set(grouped)) != len(grouped) or not set(grouped) <= set(classes):
        raise ValueError(f'{source}: `groups` must hold names of `classes`, each at most once, got {groups!r}')
    return groups


def check_metrics(source: str, metrics: Mapping[str, Any], classes: Sequence[str],
                  groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the scores of ``LongTailIoUMetric`` as floats, with the means of recall and precision that follow from them.

    What the metric may leave undefined (null or NaN) becomes NaN. In the means ``mPrecision``, ``mPrecision_<group>`` and
    ``mAcc_<group>``, a class that is labelled and never predicted has precision 0.

    Raises:
        ValueError: A score is missing, impossible, or of a class that is not among ``classes``.
    """
    scores = {}
    for key, value in metrics.items():
        kind, dot, name = key.partition('.')
        if key not in OVERALL and not key.startswith('mIoU_') and not (dot and kind in OF_CLASS):
            continue  # another metric's
        if dot and name not in classes:
            raise ValueError(f'{source}: `{key}` must be of one of `classes`, got {name!r}')
        undefined = value is None or (isinstance(value, float) and math.isnan(value))
        if undefined and key not in OVERALL:
            scores[key] = math.nan
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
            raise ValueError(f'{source}: `{key}` must be a number in [0, 100], got {value!r}')
        else:
            scores[key] = float(value)
    missing = [key for key in OVERALL if key not in scores]
    if missing or not any(key.startswith('IoU.') for key in scores):
        raise ValueError(f'{source}: `metrics` must hold the scores of LongTailIoUMetric, got no '
                         f'{missing[0] if missing else "IoU.<class>"}')
    return {**scores, **_means(scores, classes, groups)}


def _means(scores: Mapping[str, float], classes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    means = {'mPrecision': _mean([_precision(scores, c) for c in classes])}
    for group, members in groups.items():
        means[f'mAcc_{group}'] = _mean([scores.get(f'Acc.{c}', math.nan) for c in members])
        means[f'mPrecision_{group}'] = _mean([_precision(scores, c) for c in members])
    return means


def _precision(scores: Mapping[str, float], name: str) -> float:
    if math.isnan(scores.get(f'Acc.{name}', math.nan)):
        return math.nan  # not labelled
    value = scores.get(f'Precision.{name}', math.nan)
    return 0.0 if math.isnan(value) else value


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan
