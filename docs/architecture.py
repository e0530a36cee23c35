"""The picture of docs/architecture.md, from the imports of the code: ``python docs/architecture.py`` writes it again.

An arrow goes from a part to a part that it imports. Arrows that follow from others are left out (commands → engine → scan →
stats needs no commands → stats), and so are the small modules of a file each, which any part may import.
"""
from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Path(__file__).with_suffix('.svg')
TOOLS = 'tools'
BOX, ROW, SLOT = (148, 58), 104, 162  # width and height of a box, distance of rows and of boxes in a row
THIN = 34  # width that an arrow takes in a row which it passes
FEW = 2  # parts with so few users stand just below them


def imported_parts(path: Path) -> set[str]:
    """Return the first-level parts of mmimb that a file imports, its own part left out."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*parts[:len(parts) - node.level]] if node.level else []
            stem = base + (node.module.split('.') if node.module else [])
            names = [stem] if node.module else [[*stem, alias.name] for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'import_module':
            names = [node.args[0].value.split('.')] if isinstance(node.args[0], ast.Constant) else []
        found |= {name[1] for name in names if name[0] == 'mmimb' and len(name) > 1}
    return found - {parts[1], '__version__'}


def all_imports() -> dict[str, set[str]]:
    """Return what each folder of mmimb, ``dispatch`` and the tools import of one another."""
    files = {folder.name: folder.rglob('*.py') for folder in (ROOT / 'mmimb').iterdir() if (folder / '__init__.py').is_file()}
    files |= {'dispatch': [ROOT / 'mmimb/dispatch.py'], TOOLS: (ROOT / TOOLS).rglob('*.py')}
    return {part: {name for path in paths for name in imported_parts(path) if name in files} - {part}
            for part, paths in sorted(files.items())}


def reached(part: str, imports: Mapping[str, Iterable[str]]) -> set[str]:
    """Return all that a part imports, and what that imports."""
    found: set[str] = set()
    for name in imports[part]:
        found |= {name} | reached(name, imports)
    return found


def arrows(imports: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others."""
    return [(part, name) for part in imports for name in sorted(imports[part])
            if not any(name in reached(other, imports) for other in imports[part] if other != name)]


def rows(imports: Mapping[str, set[str]], lines: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Sort the parts into rows, each part above all that it imports, and every row so that arrows cross little.

    An arrow that passes a row takes a place in it, named ``from>to``.
    """
    heights: dict[str, int] = {}

    def height(part: str) -> int:
        if part not in heights:
            heights[part] = 1 + max((height(name) for name in imports[part]), default=-1)
        return heights[part]

    table: list[list[str]] = [[] for _ in range(1 + max(height(part) for part in imports))]
    for part in sorted(imports, key=lambda part: -heights[part]):  # what few parts import moves up to them
        users = [start for start, end in lines if end == part]
        if 0 < len(users) <= FEW:
            heights[part] = min(heights[user] for user in users) - 1
    near: dict[str, list[str]] = {}
    for part in imports:
        table[heights[part]].append(part)
    for start, end in lines:
        path = chain(start, end, heights)
        for above, below in pairwise(path):
            near.setdefault(above, []).append(below)
            near.setdefault(below, []).append(above)
        for level, name in zip(range(heights[start] - 1, heights[end], -1), path[1:-1], strict=True):
            table[level].append(name)
    for _ in range(20):
        for row in [*table, *table[::-1]]:
            place = {name: (at + 0.5) / len(line) for line in table for at, name in enumerate(line)}
            row.sort(key=lambda name: (mean(place[other] for other in near.get(name, [name])), name))
    return table


def chain(start: str, end: str, heights: Mapping[str, int]) -> list[str]:
    """Return the places that an arrow goes through."""
    return [start, *(f'{start}>{end}:{level}' for level in range(heights[start] - 1, heights[end], -1)), end]


def purpose(part: str) -> str:
    """Return the first sentence of the docstring of a folder, or of a module."""
    path = ROOT / 'mmimb' / part
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    doc = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) if path.is_file() else 'the commands as scripts'
    return re.split(r'[.;?]( |$)', re.sub(r':\w+:|`', '', (doc or '').replace('\n', ' ')))[0]


def draw() -> str:
    """Return the SVG."""
    imports = all_imports()
    lines = arrows(imports)
    table = rows(imports, lines)
    widths = [sum(THIN if '>' in name else SLOT for name in row) for row in table]
    width, height = max(widths) + 20, ROW * len(table) + 10
    middle: dict[str, tuple[float, float]] = {}
    heights: dict[str, int] = {}
    for level, row in enumerate(table):
        x, gap = 10.0, (width - 20 - widths[level]) / len(row)
        for name in row:
            x += gap / 2
            size = THIN if '>' in name else SLOT
            middle[name], heights[name] = (x + size / 2, height - ROW * level - ROW / 2 - 5), level
            x += size + gap / 2
    body = [f'<path data-from="{start}" data-to="{end}" d="{curve([middle[name] for name in chain(start, end, heights)])}"/>'
            for start, end in lines]
    body += [box(name, *middle[name]) for row in table for name in row if '>' not in name]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">\n'
            '<style>path{fill:none;stroke:#7a8794;stroke-width:1.4;marker-end:url(#tip)} rect{fill:#eef3f8;stroke:#4a6580}'
            ' text{text-anchor:middle;fill:#1b2733} .name{font-size:14px;font-weight:bold} .what{font-size:10px}</style>\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<polygon points="0,0 8,4 0,8" fill="#7a8794"/></marker></defs>\n'
            f'<polygon points="0,0 {width:.0f},0 {width:.0f},{height:.0f} 0,{height:.0f}" fill="#ffffff"/>\n'
            + '\n'.join(body) + '\n</svg>\n')


def curve(points: list[tuple[float, float]]) -> str:
    """Return a path from the lower edge of the first box to the upper edge of the last."""
    (x, y), (last_x, last_y) = points[0], points[-1]
    points = [(x, y + BOX[1] / 2), *points[1:-1], (last_x, last_y - BOX[1] / 2)]
    text = 'M{:.0f},{:.0f}'.format(*points[0])
    for (x, y), (to_x, to_y) in pairwise(points):
        half = (to_y - y) / 2
        text += f' C{x:.0f},{y + half:.0f} {to_x:.0f},{to_y - half:.0f} {to_x:.0f},{to_y:.0f}'
    return text


def box(name: str, x: float, y: float) -> str:
    """Return a box with a name and what it is for."""
    text = [f'<text class="name" x="{x:.0f}" y="{y - 14:.0f}">{name}</text>']
    text += [f'<text class="what" x="{x:.0f}" y="{y + 1 + 12 * at:.0f}">{escape(line)}</text>'
             for at, line in enumerate(textwrap.wrap(purpose(name), 28, max_lines=3, placeholder=' …'))]
    return (f'<rect x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>'
            + ''.join(text))


if __name__ == '__main__':
    PICTURE.write_text(draw(), encoding='utf-8')
