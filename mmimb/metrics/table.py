"""The per-class table in the log."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from prettytable import PrettyTable
from torch import Tensor

from ..functional import scores
from ..printable import printable

LOWEST = 3
MOST = 10  # of those that share the last place


def class_table(confusion: Tensor, classes: Sequence[str], groups: Mapping[str, Sequence[int]]) -> str:
    """Return a text table of every class, from frequent to rare, and below it the classes with the lowest IoU.

    Args:
        confusion: ``(C, C)`` counts, rows = label, columns = prediction; a further row and column stand for no class.
        classes: Class names.
        groups: Class ids of every group; their order is kept. Without groups the labelled pixels order the rows.
    """
    classes = [printable(name) for name in classes]
    values, labelled = scores(confusion), confusion[:len(classes)].sum(1).tolist()
    group_of = {c: printable(name) for name, members in groups.items() for c in members}
    rest = sorted((c for c in range(len(classes)) if c not in group_of), key=lambda c: -labelled[c])
    table = PrettyTable(['class', 'group', 'labelled pixels', 'share %', 'IoU', 'Acc', 'Precision'], align='r')
    table.align['class'] = table.align['group'] = 'l'
    iou, accuracy, precision = values.iou.tolist(), values.accuracy.tolist(), values.precision.tolist()
    for c in [*group_of, *rest]:
        table.add_row([classes[c], group_of.get(c, '-'), f'{labelled[c]:,}', _share(labelled[c], sum(labelled)),
                       *map(percent, (iou[c], accuracy[c], precision[c]))])
    return f'{table.get_string()}\nlowest IoU: {_lowest(iou, labelled, classes) or "no class was measured"}'


def _lowest(iou: Sequence[float], labelled: Sequence[int], classes: Sequence[str]) -> str:
    measured = sorted((c for c in range(len(classes)) if iou[c] == iou[c]), key=lambda c: (iou[c], labelled[c]))
    shown = [c for place, c in enumerate(measured) if place < LOWEST or iou[c] == iou[measured[LOWEST - 1]]]
    more = f' and {len(shown) - MOST} more' if len(shown) > MOST else ''
    return ', '.join(f'{classes[c]} {percent(iou[c])}' for c in shown[:MOST]) + more


def percent(value: float) -> str:
    """Return a share as percent with two decimals, ``'-'`` if it is undefined (NaN)."""
    return '-' if value != value else f'{100 * value:.2f}'


def _share(count: int, total: int) -> str:
    share = 100 * count / max(total, 1)
    return '<0.01' if 0 < share < 0.005 else f'{share:.2f}'
