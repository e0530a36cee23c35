"""Tables of a comparison: means, classes and seeds, and everything as CSV."""
from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from .grid import Cell, Grid
from .paired import Interval
from .pairs import IMAGES, SEEDS, Comparison
from .result import OF_CLASS, OVERALL
from .runs import Run, class_order, group_names

EQUAL = 0.005  # percent points: scores come with two decimals
NAMES = {'mAcc': 'mean recall', 'mPrecision': 'mean precision', 'aAcc': 'pixel accuracy', 'mAcc_tail': 'recall of the tail',
         'mPrecision_tail': 'precision of the tail'}


def tables(runs: Sequence[Run], found: Sequence[Comparison]) -> list[Grid]:
    """Return the tables of the means, the classes, their recall and their precision, and the pairs of seeds.

    Values are percent, differences to the first run percent points, each with its 95 % interval where there is one.
    """
    grids = [_overall(runs, found), _classes(runs, found)]
    grids += [_of_class(runs, found, kind, name) for kind, name in (('Acc', 'Recall'), ('Precision', 'Precision'))]
    return grids + [_by_seed(comparison) for comparison in found if len(comparison.seeds) > 1]


def csv_text(runs: Sequence[Run], found: Sequence[Comparison]) -> str:
    """Return all scores as CSV: one row per run and key, with the difference to the first run and its intervals."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['run', 'metric', 'class', 'group', 'mean', 'std', 'n', f'difference to {runs[0].name}', 'pairs',
                     *(f'{bound} {over}' for over in (SEEDS, IMAGES) for bound in ('low', 'high'))])
    against = {comparison.run.name: comparison for comparison in found}
    for run in runs:
        for kind, c, group in _keys(runs):
            key = f'{kind}.{c}' if c else kind
            numbers = [run.mean(key), run.std(key)]
            gain, images, pairs = Interval(0.0, math.nan, math.nan), Interval(*[math.nan] * 3), 0
            if run.name in against:
                comparison = against[run.name]
                gain, images, pairs = comparison.gain(key), comparison.over_images(key), len(comparison.pairs)
            elif math.isnan(numbers[0]):
                gain = gain._replace(mean=math.nan)
            writer.writerow([run.name, kind, c, group, *map(_decimal, numbers), len(run.defined(key)), _decimal(gain.mean),
                             pairs or '', *map(_decimal, (*gain[1:], *images[1:]))])
    return out.getvalue()


def _keys(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    keys = [(key, '', '') for key in (*OVERALL, 'mPrecision')]
    keys += [(f'{kind}_{name}', '', name) for kind in ('mIoU', 'mAcc', 'mPrecision') for name in group_names(runs)]
    return keys + [(kind, c, group) for kind in OF_CLASS for c, group in class_order(runs).items()]


def _decimal(value: float) -> str:
    return '' if math.isnan(value) else f'{value:.4f}'


def value_text(run: Run, key: str) -> str:
    """Return ``34.10``, with several seeds ``34.10 ± 0.25``, and how many seeds it is of where some have no value."""
    values, total = run.defined(key), len(run.seeds)
    if not len(values):
        return '-'
    text = f'{run.mean(key):.2f}' + (f' ± {run.std(key):.2f}' if len(values) > 1 else '')
    return text if len(values) == total else f'{text} ({len(values)} of {total})'


def signed(value: float) -> str:
    """Return ``+1.20`` or ``-0.30``; no sign for zero, ``-`` for NaN."""
    if math.isnan(value):
        return '-'
    return '0.00' if abs(value) < EQUAL else f'{value:+.2f}'


def bounds(interval: Interval) -> str:
    """Return ``-0.30 to +2.70``, nothing without bounds."""
    return '' if math.isnan(interval.low) else f'{signed(interval.low)} to {signed(interval.high)}'


def sign(value: float) -> int:
    """Return 1, -1, or 0 for what rounds to zero and for NaN."""
    return int(value >= EQUAL) - int(value <= -EQUAL)


def difference_cell(comparison: Comparison, key: str) -> Cell:
    """Return ``+1.20 (-0.30 to +2.70)``: over the seeds, or over the images where only these have an interval."""
    gain, _ = comparison.told(key)
    text = signed(gain.mean) + (f' ({bounds(gain)})' if bounds(gain) and not math.isnan(gain.mean) else '')
    return Cell(text, sign(gain.mean), comparison.side(key) != 0)


def interval_source(found: Sequence[Comparison], keys: Sequence[str]) -> str:
    """Return what the intervals of the rows ``keys`` are over, for the title of a table; nothing where there are none."""
    told = [comparison.told(key) for comparison in found for key in keys]
    over = dict.fromkeys(source for gain, source in told if bounds(gain) and not math.isnan(gain.mean))
    return f'; in brackets 95 % intervals {" or ".join(over)}' if over else ''


def _overall(runs: Sequence[Run], found: Sequence[Comparison]) -> Grid:
    groups = group_names(runs)
    tail = ['mAcc_tail', 'mPrecision_tail'] if 'tail' in groups else []
    keys = ['mIoU', *(f'mIoU_{name}' for name in groups), 'mAcc', 'mPrecision', *tail, 'aAcc']
    several = any(len(run.seeds) > 1 for run in runs)
    title = 'Means in percent' + (', ± sample standard deviation over the seeds' if several else '') \
        + interval_source(found, keys)
    both = [c for c in found if c.images and bounds(c.gain('mIoU'))]
    grid = Grid(title, ['mean of', *_columns(runs, found), *(f'{_title(c, found)}, {IMAGES}' for c in both)])
    for key in keys:
        grid.add(NAMES.get(key, key), *_cells(runs, found, key), *(bounds(c.over_images(key)) for c in both))
    grid.line()
    blank = [''] * len(both)
    grid.add('seeds', *(str(len(run.seeds)) for run in runs), *(_pairs(c) for c in found), *blank)
    return grid


def _pairs(comparison: Comparison) -> str:
    if not comparison.pairs:
        return 'not paired'
    return f'{len(comparison.pairs)} pair{"s" if len(comparison.pairs) > 1 else ""}'


def _classes(runs: Sequence[Run], found: Sequence[Comparison]) -> Grid:
    """Return the IoU of every class, with the differences of recall and precision beside it."""
    beside = {'Acc': 'Δ recall', 'Precision': 'Δ precision'}
    more = [f'{name}{"" if len(found) == 1 else f", {c.run.name}"}' for c in found for name in beside.values()]
    grid = Grid(_title_of_classes(runs, found, 'IoU', 'IoU'), ['class', 'group', *_columns(runs, found), *more], 2)
    for c, group in _sections(grid, runs):
        changes = [_change(comparison, f'{kind}.{c}') for comparison in found for kind in beside]
        grid.add(c, group or '-', *_cells(runs, found, f'IoU.{c}'), *changes)
    return grid


def _change(comparison: Comparison, key: str) -> Cell:
    gain = comparison.gain(key).mean
    return Cell(signed(gain), sign(gain), comparison.side(key) != 0)


def _of_class(runs: Sequence[Run], found: Sequence[Comparison], kind: str, name: str) -> Grid:
    grid = Grid(_title_of_classes(runs, found, kind, name), ['class', *_columns(runs, found)], detail=True)
    for c, _ in _sections(grid, runs):
        grid.add(c, *_cells(runs, found, f'{kind}.{c}'))
    return grid


def _by_seed(comparison: Comparison) -> Grid:
    run, base = comparison.run, comparison.base
    keys = [key for key in ('mIoU', 'mIoU_tail') if key in run.values and key in base.values]
    grid = Grid(f'Pairs of seeds: {run.name} against {base.name}',
                ['seed', *(f'{key}: {name}' for key in keys for name in (base.name, run.name, 'difference'))])
    for i, j in sorted(comparison.pairs, key=lambda pair: run.seeds[pair[0]] or 0):
        cells: list[str | Cell] = [str(run.seeds[i])]
        for key in keys:
            here, there = float(run.values[key][i]), float(base.values[key][j])
            cells += ['-' if math.isnan(x) else f'{x:.2f}' for x in (there, here)]
            cells.append(Cell(signed(here - there), sign(here - there)))
        grid.add(*cells)
    return grid


def _title_of_classes(runs: Sequence[Run], found: Sequence[Comparison], kind: str, name: str) -> str:
    order = class_order(runs)
    sorted_by = ', from frequent to rare' if any(order.values()) else ''
    return f'{name} per class in percent{sorted_by}{interval_source(found, [f"{kind}.{c}" for c in order])}'


def _sections(grid: Grid, runs: Sequence[Run]) -> Sequence[tuple[str, str]]:
    """Return classes with their groups; the grid gets a line between two groups."""
    order = list(class_order(runs).items())
    grid.breaks += [i for i in range(1, len(order)) if order[i][1] != order[i - 1][1]]
    return order


def _columns(runs: Sequence[Run], found: Sequence[Comparison]) -> list[str]:
    return [*(run.name for run in runs), *(_title(comparison, found) for comparison in found)]


def _title(comparison: Comparison, found: Sequence[Comparison]) -> str:
    return 'difference' if len(found) == 1 else f'{comparison.run.name} - {comparison.base.name}'


def _cells(runs: Sequence[Run], found: Sequence[Comparison], key: str) -> list[str | Cell]:
    return [*(value_text(run, key) for run in runs), *(difference_cell(c, key) for c in found)]
