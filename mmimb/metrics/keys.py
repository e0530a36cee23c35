"""The scores of a confusion matrix under the flat keys of the log: the same keys at every evaluation."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..functional import f_score, scores

IOU_METRICS = ('mIoU', 'mDice', 'mFscore')


def check_iou_metrics(iou_metrics: Any) -> tuple[str, ...]:
    """Return ``iou_metrics`` as a tuple of names.

    Raises:
        ValueError: It is not among those of mmseg's ``IoUMetric``.
    """
    names = (iou_metrics, ) if isinstance(iou_metrics, str) else iou_metrics
    if not isinstance(names, Sequence) or not names or any(name not in IOU_METRICS for name in names):
        raise ValueError(f'`iou_metrics` must be a list of names among {", ".join(IOU_METRICS)}, got {iou_metrics!r}')
    return tuple(names)


def flat_scores(confusion: Tensor, classes: Sequence[str], groups: Mapping[str, Sequence[int]],
                iou_metrics: Sequence[str] = ('mIoU', ), beta: float = 1.0) -> dict[str, float]:
    """Return the means and the scores of every class in percent, NaN where undefined.

    Args:
        confusion: ``(C, C)`` counts, rows = label, columns = prediction; a further row and column stand for no class.
        classes: Class names.
        groups: Class ids of every group.
        iou_metrics: Which scores besides IoU.
        beta: Of the F-score.
    """
    *rows, overall = scores(confusion)
    iou, accuracy, precision = (row[:len(classes)] for row in rows)
    means = {'mIoU': iou, 'mAcc': accuracy, 'aAcc': overall, **{f'mIoU_{name}': iou[ids] for name, ids in groups.items()}}
    of_class = {'IoU': iou, 'Acc': accuracy, 'Precision': precision}
    if 'mDice' in iou_metrics:
        means['mDice'] = of_class['Dice'] = f_score(confusion)[:len(classes)]
    if 'mFscore' in iou_metrics:
        means['mFscore'] = of_class['Fscore'] = f_score(confusion, beta)[:len(classes)]
        means.update(mPrecision=precision, mRecall=accuracy)
    found = {key: _percent(values) for key, values in means.items()}
    for key, values in of_class.items():
        found.update({f'{key}.{name}': round(100 * value, 2) for name, value in zip(classes, values.tolist(), strict=True)})
    return found


def percent_keys(name: str, values: Tensor, classes: Sequence[str],
                 groups: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return ``m<name>``, ``m<name>_<group>`` and ``<name>.<class>`` of ``(C,)`` scores, in percent, NaN where undefined."""
    found = {f'm{name}': _percent(values), **{f'm{name}_{group}': _percent(values[ids]) for group, ids in groups.items()}}
    found.update({f'{name}.{c}': round(100 * value, 2) for c, value in zip(classes, values.tolist(), strict=True)})
    return found


def _percent(values: Tensor) -> float:
    """Return the mean of the values that are defined, in percent, NaN if there is none."""
    return round(100 * values.nanmean().item(), 2)
