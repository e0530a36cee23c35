"""A table as plain data, and what it looks like in a terminal, in Markdown and in LaTeX."""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from ..printable import printable

LATEX = {'\\': r'\textbackslash{}', '{': r'\{', '}': r'\}', '$': r'\$', '&': r'\&', '#': r'\#', '%': r'\%', '_': r'\_',
         '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '±': r'$\pm$', '–': '--', 'Δ': r'$\Delta$'}
MARKDOWN = re.compile(r'([\\|`*_\[\]<>~])')


class Cell(NamedTuple):
    """A text; ``sign`` says whether it is a gain (1) or a loss (-1), ``sure`` whether its intervals agree."""

    text: str
    sign: int = 0
    sure: bool = False


Content = str | Cell


@dataclass
class Grid:
    """A table.

    Args:
        title: One line.
        header: Names of the columns.
        texts: How many columns, from the left, hold texts; numbers go to the right.
        rows: The cells.
        breaks: Numbers of the rows before which a line is drawn.
        detail: Whether it is for files only; the terminal has less room.
    """

    title: str
    header: Sequence[str]
    texts: int = 1
    rows: list[Sequence[Content]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    detail: bool = False

    def add(self, *cells: Content) -> None:
        """Add a row."""
        self.rows.append(cells)

    def line(self) -> None:
        """Draw a line before the next row."""
        self.breaks.append(len(self.rows))


def rich_table(grid: Grid) -> Table:
    """Return the table for a terminal; gains are green and losses red, in bold where the intervals agree."""
    table = Table(title=Text(printable(grid.title)), title_justify='left')
    for i, name in enumerate(grid.header):
        table.add_column(Text(printable(name)), justify='left' if i < grid.texts else 'right', no_wrap=True)
    for i, row in enumerate(grid.rows):
        if i in grid.breaks:
            table.add_section()
        table.add_row(*(_styled(_cell(content)) for content in row))
    return table


def markdown(grid: Grid) -> str:
    """Return the table in Markdown; a difference is bold where its intervals agree."""
    def row(cells: Sequence[str]) -> str:
        return '| ' + ' | '.join(cells) + ' |'

    def text(content: Content) -> str:
        cell = _cell(content)
        plain = MARKDOWN.sub(r'\\\1', printable(cell.text))
        return f'**{plain}**' if cell.sure else plain

    rule = ['---' if i < grid.texts else '---:' for i in range(len(grid.header))]
    lines = [row([text(name) for name in grid.header]), row(rule), *(row([text(c) for c in cells]) for cells in grid.rows)]
    return f'**{text(grid.title)}**\n\n' + '\n'.join(lines)


def latex(grid: Grid) -> str:
    """Return the table in LaTeX, for the package ``booktabs``; a difference is bold where its intervals agree."""
    def row(cells: Sequence[Content]) -> str:
        return ' & '.join(_latex_cell(_cell(content)) for content in cells) + r' \\'

    lines = [rf'% {printable(grid.title)}', rf'\begin{{tabular}}{{{"l" * grid.texts}{"r" * (len(grid.header) - grid.texts)}}}',
             r'\toprule', row(grid.header), r'\midrule']
    for i, cells in enumerate(grid.rows):
        lines += [r'\midrule'] * (i in grid.breaks) + [row(cells)]
    return '\n'.join([*lines, r'\bottomrule', r'\end{tabular}'])


def _cell(content: Content) -> Cell:
    return content if isinstance(content, Cell) else Cell(content)


def _styled(cell: Cell) -> Text:
    color = {1: 'green', -1: 'red'}.get(cell.sign, '')
    return Text(printable(cell.text), style=f'bold {color}' if cell.sure else color)


def _latex_cell(cell: Cell) -> str:
    text = ''.join(LATEX.get(c, c) for c in printable(cell.text))
    text = re.sub(r'(?<![\w.-])([+-]\d+(?:\.\d+)?)', r'$\1$', text)  # minus signs, not hyphens
    return rf'\textbf{{{text}}}' if cell.sure and text else text
