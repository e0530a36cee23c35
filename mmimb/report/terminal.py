"""What the scanner prints: its classes, the weights of every scheme side by side, and what to try."""
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
from .suggest import CHILD, Suggestion, fix_first
from .svg import percent

CAPITAL = re.compile(r'(?<=[a-z])(?=[A-Z])')
SHOWN_CLASSES = 12  # of more classes only the most frequent and the rarest are shown
GROUP_STYLES = {'head': 'green', 'medium': 'yellow', 'tail': 'red'}


def class_table(stats: ClassStats) -> Table:
    """Return the table of classes, from most to least frequent."""
    found, names = derive(stats), class_labels(stats)
    table = Table(header_style='bold')
    table.add_column('id', justify='right')
    table.add_column('class')
    for name in ('pixels', 'share %', 'images'):
        table.add_column(name, justify='right')
    table.add_column('group')
    for c in stats.order():
        images, group = '' if stats.images is None else f'{stats.images[c]:,}', found.group[c]
        table.add_row(str(c), Text(names[c] if stats.classes else ''), f'{stats.pixels[c]:,}', f'{100 * found.prior[c]:.3f}',
                      images, Text(group, GROUP_STYLES[group]))
    return table


def summary_lines(stats: ClassStats) -> list[str]:
    """Return the lines under that table: imbalance, classes that never occur, ignored share, images."""
    found, names = derive(stats), class_labels(stats)
    lines = [f'imbalance ratio: {found.ratio:,.1f} : 1 ({names[found.most]} : {names[found.least]})']
    if found.absent:
        lines.append('never labelled: ' + ', '.join(names[c] for c in found.absent) + ' (not part of the ratio above)')
    if found.ignored is not None:
        lines.append(f'ignored: {100 * found.ignored:.2f} % of all pixels ({stats.ignored_pixels:,})')
    if stats.num_images is not None:
        lines.append(f'images: {stats.num_images:,}')
    return lines


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


def show(source: PageSource, written: str | None = None) -> None:
    """Print tables and lines; no config that was ``written`` to a file. A narrow terminal wraps the lines of a table, and cuts
    no number.
    """
    stats, schemes = source.scan.stats, all_schemes(source.scan.stats)
    Console().print(class_table(stats))
    Console().print(*summary_lines(stats), sep='\n', markup=False, highlight=False, soft_wrap=True)
    crops = [] if source.crops is None else [crop_table(stats, source.crops)]
    for table in (scheme_table(stats, schemes), *crops):
        width = Console(width=10_000).measure(table).maximum
        Console(width=width).print(table)
    lines = derived_lines(stats, schemes, source.suggestion, fix_first(source.scan.audit), written=written)
    Console().print(*lines, sep='\n', markup=False, highlight=False, soft_wrap=True)


def derived_lines(stats: ClassStats, schemes: Sequence[Scheme], suggestion: Suggestion | None,
                  errors: Sequence[str] = (), *, written: str | None = None) -> list[str]:
    """Return the Gini coefficient, the groups, the warnings of the schemes, and the suggested config with its reasons.

    Where the audit found ``errors`` (see :func:`fix_first`), they take the place of the config; one that was ``written`` to a
    file is not shown.
    """
    found = derive(stats)
    lines = [f'Gini coefficient: {found.gini:.3f} (0: all classes equal)']
    lines += [f'{group}: {100 * sum(found.prior[c] for c in members):.2f} % of the labelled pixels '
              f'({len(members)} classes)' for group, members in stats.groups().items() if members]
    lines += [f'warning: {scheme.name}: {scheme.warning}' for scheme in schemes if scheme.warning]
    if suggestion is None:
        return lines
    if errors:
        return [*lines, '', 'fix these first, then scan again for a config to start from:', '',
                *(f'    {line}' for line in errors)]
    if not suggestion.config:
        return [*lines, '', *suggestion.reasons]
    if written is None:
        lines += ['', f'a config to start from ({CHILD}), to be compared with cross-entropy over several seeds:', '']
        lines += [f'    {line}' for line in suggestion.config.splitlines()]
    lines += ['', *suggestion.reasons, '', 'then:', '', *(f'    {line}' for line in suggestion.commands)]
    return lines
