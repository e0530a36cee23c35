"""Tables of a comparison: for the terminal and as CSV."""
from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..printable import printable
from .compare import difference, signed
from .runs import OVERALL, Run, class_order, group_names


def tables(runs: Sequence[Run]) -> list[Table]:
    """Return the table of the means and the one of the IoU per class, in percent, with the difference to the first run."""
    return [_overall(runs), _per_class(runs)]


def csv_text(runs: Sequence[Run]) -> str:
    """Return all scores as CSV: one row per run and key with mean, sample standard deviation, number of seeds, difference."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['run', 'metric', 'class', 'group', 'mean', 'std', 'n', f'difference to {runs[0].name}'])
    groups = class_order(runs)
    keys = [(key, '', '') for key in OVERALL] + [(f'mIoU_{name}', '', name) for name in group_names(runs)]
    keys += [(kind, c, group) for kind in ('IoU', 'Acc', 'Precision') for c, group in groups.items()]
    for run in runs:
        for kind, c, group in keys:
            key = f'{kind}.{c}' if c else kind
            numbers = [run.mean(key), run.std(key), difference(run, runs[0], key)]
            mean, std, gain = ('' if math.isnan(value) else f'{value:.4f}' for value in numbers)
            writer.writerow([run.name, kind, c, group, mean, std, len(run.defined(key)), gain])
    return out.getvalue()


def cell(run: Run, key: str) -> str:
    """Return ``34.10``, with several seeds ``34.10 ± 0.25``, and how many seeds it is of where some have no value."""
    values, total = run.defined(key), len(run.seeds)
    if not len(values):
        return '-'
    text = f'{run.mean(key):.2f}' + (f' ± {run.std(key):.2f}' if len(values) > 1 else '')
    return text if len(values) == total else f'{text} ({len(values)} of {total})'


def _overall(runs: Sequence[Run]) -> Table:
    several = any(len(run.seeds) > 1 for run in runs)
    table = _empty('Means in percent' + (', ± sample standard deviation over the seeds' if several else ''), ['mean of'], runs)
    for key in [*OVERALL, *(f'mIoU_{name}' for name in group_names(runs))]:
        table.add_row(Text(printable(key)), *_cells(runs, key))
    table.add_section()
    table.add_row('seeds', *(str(len(run.seeds)) for run in runs))
    return table


def _per_class(runs: Sequence[Run]) -> Table:
    groups = class_order(runs)
    known = any(groups.values())
    table = _empty('IoU per class in percent' + (', from frequent to rare' if known else ''), ['class', 'group'], runs)
    before = next(iter(groups.values()))
    for c, group in groups.items():
        if group != before:
            table.add_section()
            before = group
        table.add_row(Text(printable(c)), Text(printable(group or '-')), *_cells(runs, f'IoU.{c}'))
    return table


def _empty(title: str, columns: Sequence[str], runs: Sequence[Run]) -> Table:
    table = Table(title=title, title_justify='left')
    for column in columns:
        table.add_column(column, no_wrap=True)
    for name in [*(run.name for run in runs), *(f'{run.name} - {runs[0].name}' for run in runs[1:])]:
        table.add_column(Text(printable(name)), justify='right', no_wrap=True)
    return table


def _cells(runs: Sequence[Run], key: str) -> list[str | Text]:
    return [*(cell(run, key) for run in runs), *(_gain(run, runs[0], key) for run in runs[1:])]


def _gain(run: Run, base: Run, key: str) -> Text:
    text = signed(difference(run, base, key))
    return Text(text, style='green' if text.startswith('+') else 'red' if text[1:] and text.startswith('-') else '')
