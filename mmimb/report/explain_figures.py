"""The figures of an explanation: precision and recall, IoU against frequency, size of objects against recall, confusion."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..analysis.evidence import Fate, RunEvidence
from ..analysis.objects import SIZES
from ..analysis.score_curves import Operating
from ..stats import ClassStats
from ..stats.imbalance import derive
from .svg import GROUP_COLORS, LINE_COLORS, new_figure, percent, plain, to_svg

RUN_COLORS = LINE_COLORS[:2]
NAMED_DOTS = 40


class Cell(NamedTuple):
    """A cell of the confusion matrix: place, share of the row, what it says, and the example that it leads to."""

    row: int
    column: int
    share: float
    text: str
    link: str


def precision_recall_figure(runs: Sequence[RunEvidence], c: int, name: str) -> str:
    """Return precision over recall of a class for each run: a dot where the model is, a ring at the best F-score."""
    with new_figure(3.1, 2.7) as figure:
        ax = figure.subplots()
        for run, color in zip(runs, RUN_COLORS, strict=False):
            if run.curves is None:
                continue
            recall, precision = run.curves.curve(c)
            ax.plot(recall, precision, color=color, linewidth=1.6)
            now, best = run.curves.point(c), run.curves.best(c)
            ax.plot(*_place(now), 'o', color=color, markersize=6)
            ax.plot(*_place(best), 'o', color=color, markersize=9, fillstyle='none')
        ax.set_xlim(0, 1.02)
        ax.set_ylim(0, 1.04)
        ax.set_xlabel('recall')
        ax.set_ylabel('precision')
        ax.grid()
        return to_svg(figure, f'Precision and recall of {name}')


def frequency_iou_figure(stats: ClassStats, fates: Sequence[Sequence[Fate]], names: Sequence[str],
                         classes: Sequence[str]) -> str:
    """Return IoU against the share of the training pixels on a log axis, a named dot per class, an arrow to a second run."""
    found = derive(stats)
    with new_figure(6.4, 4.2) as figure:
        ax = figure.subplots()
        lowest, before = found.prior[found.least], (0.0, 0.0)
        for fate in sorted(fates[0], key=lambda one: found.prior[one.class_index]):
            c = fate.class_index
            if math.isnan(fate.iou):
                continue
            x, color = 100 * max(found.prior[c], lowest / 2), GROUP_COLORS[found.group[c]]
            other = fates[1][c].iou if len(fates) > 1 else math.nan
            ax.plot(x, 100 * fate.iou, 'o', color=color, markersize=6)
            if not math.isnan(other):
                arrow = {'arrowstyle': '->', 'color': color, 'lw': 1.3}
                ax.annotate('', (x, 100 * other), (x, 100 * fate.iou), arrowprops=arrow)
                ax.plot(x, 100 * other, 'o', color=color, markersize=6, fillstyle='none')
            if len(classes) <= NAMED_DOTS:
                near = abs(100 * fate.iou - before[1]) < 4 and x < 1.6 * before[0]  # the last name: go below the dot
                ax.annotate(plain(classes[c], 16), (x, 100 * fate.iou), (5, -11 if near else 4), textcoords='offset points',
                            fontsize=8.5)
                before = (0.0, 0.0) if near else (x, 100 * fate.iou)
        ax.set_xscale('log')
        ax.xaxis.set_major_formatter('{x:g} %')
        ax.minorticks_off()
        ax.set_ylim(-3, 103)
        ax.set_xlabel('share of the training pixels (log scale)')
        ax.set_ylabel('IoU in %')
        ax.grid()
        label = 'IoU against frequency' if len(fates) < 2 else f'IoU against frequency, from {names[0]} to {names[1]}'
        return to_svg(figure, label)


def object_figure(runs: Sequence[RunEvidence], rare: Sequence[int], classes: Sequence[str]) -> str:
    """Return the share of found pixels of the rare classes by the size of their objects, for the first run; '' without any."""
    counts = runs[0].anatomy.objects[list(rare)]
    used = np.flatnonzero(counts[:, :, 0].sum(0))
    if not len(used):
        return ''
    low, high = int(used[0]), int(used[-1])
    with new_figure(6.4, 4.2) as figure:
        ax = figure.subplots()
        for c, rows, color in zip(rare, counts, LINE_COLORS, strict=False):
            at = np.flatnonzero(rows[:, 0])
            if not len(at):
                continue
            ax.plot(at, 100 * rows[at, 3] / rows[at, 2], color=color, linewidth=1.5, label=plain(classes[c], 16))
            ax.scatter(at, 100 * rows[at, 3] / rows[at, 2], s=12 + 22 * np.log2(rows[at, 0] + 1), color=color, alpha=.8)
        ax.set_xticks(range(low, high + 1), [f'{2 ** s:,}' + ('+' if s == SIZES - 1 else '') for s in range(low, high + 1)],
                      rotation=45, fontsize=8.5)
        ax.set_ylim(-4, 104)
        ax.set_xlabel('pixels of the object, to twice as many (larger dot: more objects)')
        ax.set_ylabel('found pixels in %')
        ax.grid()
        ax.legend(fontsize=8.5, ncols=2)
        return to_svg(figure, 'Size of objects against recall')


def confusion_cells(run: RunEvidence, order: Sequence[int], names: Sequence[str], linked: set[tuple[int, int]],
                    least: float = 0.002) -> list[Cell]:
    """Return the cells of the confusion matrix with a share of at least ``least`` of their row, in the order of ``order``."""
    confusion = run.counts.confusion
    cells = []
    for row, c in enumerate(order):
        total = int(confusion[c].sum())
        for column, d in enumerate(order):
            share = int(confusion[c, d]) / total if total else 0.0
            if share >= least:
                text = (f'{names[c]}: {percent(share)} are found' if c == d else
                        f'{percent(share)} of {names[c]} is taken for {names[d]}')
                cells.append(Cell(row, column, share, f'{text} ({int(confusion[c, d]):,} pixels)',
                                  f'#taken-{c}-{d}' if (c, d) in linked else ''))
    return cells


def _place(point: Operating) -> tuple[list[float], list[float]]:
    return [point.recall], [0.0 if math.isnan(point.precision) else point.precision]
