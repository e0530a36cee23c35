"""Figures of matplotlib as SVG inside a page: text stays text, and black lines take the text colour of the page."""
from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

INK = '#010203'  # stands for the text colour of the page, which replaces it
GROUP_COLORS = {'head': '#3d84c6', 'medium': '#d99a00', 'tail': '#d3455b'}
LINE_COLORS = ('#3d84c6', '#d99a00', '#2a9d76', '#c06bb0', '#d3455b', '#4bb4d8', '#8c7a6b')
SVG, XLINK = 'http://www.w3.org/2000/svg', 'http://www.w3.org/1999/xlink'
STYLE: dict[Any, Any] = {
    'svg.fonttype': 'none', 'font.size': 10, 'text.color': INK, 'axes.edgecolor': INK, 'axes.labelcolor': INK,
    'xtick.color': INK, 'ytick.color': INK, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.linewidth': 0.6,
    'axes.facecolor': 'none', 'figure.facecolor': 'none', 'savefig.facecolor': 'none', 'axes.axisbelow': True,
    'grid.color': INK, 'grid.alpha': 0.15, 'grid.linewidth': 0.6, 'legend.frameon': False, 'text.parse_math': False,
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Any]:
    """Give an empty figure of ``width`` by ``height`` inches in the style of the page.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f'matplotlib must be installed to draw the report, got {error}') from error
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph')  # the browser has the font
        yield Figure(figsize=(width, height), layout='constrained')


def to_svg(figure: Any, label: str) -> str:
    """Return a figure as an ``<svg>`` element; ``label`` describes it to screen readers."""
    import matplotlib
    written = io.BytesIO()
    with matplotlib.rc_context({**STYLE, 'svg.hashsalt': label}):
        figure.savefig(written, format='svg', metadata={'Date': None, 'Creator': None, 'Format': None, 'Type': None})
    ElementTree.register_namespace('', SVG)
    ElementTree.register_namespace('xlink', XLINK)
    root = ElementTree.fromstring(written.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f'{{{SVG}}}metadata', f'{{{SVG}}}style'):
                parent.remove(child)
    _drop_unused_ids(root)
    for element in root.iter():
        if INK in element.get('style', ''):
            element.set('style', element.get('style', '').replace(INK, 'currentColor'))
    natural = root.get('width', '').removesuffix('pt')
    for name in ('width', 'height', 'version'):
        root.attrib.pop(name, None)
    root.set('style', f'--natural: {natural}px')
    root.set('role', 'img')
    root.set('aria-label', label)
    return ElementTree.tostring(root, encoding='unicode')


def plain(text: str, most: int = 22) -> str:
    """Return text that fits a figure and XML: printable, at most ``most`` characters."""
    shown = ''.join(c if c.isprintable() else '\ufffd' for c in text)
    return shown if len(shown) <= most else shown[:most - 1] + '…'


def percent(share: float) -> str:
    """Return a share in percent with three significant digits.

    >>> percent(0.3146), percent(0.00392), percent(0.0)
    ('31.5 %', '0.392 %', '0 %')
    """
    value = 100 * share
    if value == 0:
        return '0 %'
    digits = max(0, min(6, 2 - math.floor(math.log10(value))))
    return f'{value:.{digits}f} %'


def thousands(value: float) -> str:
    """Return a number with thin spaces between its thousands."""
    return f'{value:,}'.replace(',', '\u202f')


def _drop_unused_ids(root: Any) -> None:
    """Remove ids that nothing refers to: several figures in one page have the same."""
    used = ' '.join(value for element in root.iter() for key, value in element.attrib.items() if key != 'id')
    for element in root.iter():
        if element.get('id') is not None and f'#{element.get("id")}' not in used:
            del element.attrib['id']
