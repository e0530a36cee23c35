"""What the scanner prints below its table: weights side by side, and what to try."""
from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..scan.crops import CropCounts
from ..stats import ClassStats
from ..stats.imbalance import class_labels, derive
from .crops import SHOWN_CROPS, crop_rows
from .page import PageSource
from .schemes import Scheme, all_schemes
from .suggest import Suggestion
from .svg import percent

CAPITAL = re.compile(r'(?<=[a-z])(?=[A-Z])')
SHOWN_CLASSES = 12  # beyond, the most frequent and the rarest


def scheme_table(stats: ClassStats, schemes: Sequence[Scheme]) -> Table:
    """Return the weights of every scheme, one row for each class, from most to least frequent; the middle of many is cut."""
    table = Table(title='class weights', title_justify='left', header_style='bold')
    table.add_column('class')
    for scheme in schemes:
        table.add_column(CAPITAL.sub(r'\n', scheme.name).replace('(', '\n('), justify='right')
    names, order = class_labels(stats), stats.order()
    cut = len(order) > SHOWN_CLASSES
    ends = [*order[:SHOWN_CLASSES // 2], *order[-SHOWN_CLASSES // 2:]] if cut else order
    for place, c in enumerate(ends):
        if cut and place == SHOWN_CLASSES // 2:
            table.add_row(f'({len(order) - SHOWN_CLASSES} more)', end_section=True)
        table.add_row(Text(names[c]), *(f'{scheme.weights[c]:.3g}' for scheme in schemes))
    table.add_section()
    table.add_row('ratio', *(f'{scheme.ratio:,.3g}' for scheme in schemes))
    return table


def crop_table(stats: ClassStats, crops: CropCounts) -> Table:
    """Return the shares of whole images and of crops, for the rarest classes."""
    rows, names = crop_rows(stats, crops), class_labels(stats)
    title = f'what batches hold ({crops.num_crops:,} crops, {crops.per_image} of each image)'
    table = Table(title=title, title_justify='left', header_style='bold')
    table.add_column('class')
    for name in ('share of\nwhole images', 'share of\ncrops', 'factor', 'images\nwith it', 'crops\nwith it'):
        table.add_column(name, justify='right')
    for row in rows[-SHOWN_CROPS:]:
        table.add_row(Text(names[row.class_index]), percent(row.before), percent(row.after),
                      '-' if row.factor is None else f'{row.factor:.2f}', '-' if row.images is None else percent(row.images),
                      percent(row.crops))
    return table


def show(source: PageSource) -> None:
    """Print what the page holds in tables and lines; a narrow terminal wraps tables instead of cutting numbers."""
    stats, schemes = source.scan.stats, all_schemes(source.scan.stats)
    crops = [] if source.crops is None else [crop_table(stats, source.crops)]
    for table in (scheme_table(stats, schemes), *crops):
        width = Console(width=10_000).measure(table).maximum
        Console(width=width).print(table)
    lines = derived_lines(stats, schemes, source.suggestion)
    Console().print(*lines, sep='\n', markup=False, highlight=False, soft_wrap=True)


def derived_lines(stats: ClassStats, schemes: Sequence[Scheme], suggestion: Suggestion | None) -> list[str]:
    """Return the Gini coefficient, the groups, the warnings of the schemes, and the suggested config with its reasons."""
    found = derive(stats)
    lines = [f'Gini coefficient: {found.gini:.3f} (0: all classes equal)']
    lines += [f'{group}: {100 * sum(found.prior[c] for c in members):.2f} % of the labelled pixels '
              f'({len(members)} classes)' for group, members in stats.groups().items() if members]
    lines += [f'warning: {scheme.name}: {scheme.warning}' for scheme in schemes if scheme.warning]
    if suggestion is None:
        return lines
    lines += ['', 'a config to start from, to be compared with cross-entropy over several seeds:', '']
    lines += [f'    {line}' for line in suggestion.config.splitlines()]
    return [*lines, '', *suggestion.reasons]
