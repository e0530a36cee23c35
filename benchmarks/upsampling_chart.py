#!/usr/bin/env python
"""Draw docs/upsampling.png from benchmarks/results/upsampling_*.csv, and write the table of docs/upsampling.md from them.

Time and memory are relative to the stock path, of the same row and the same run.
"""
from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from record import replace_table

HERE = Path(__file__).resolve().parent
COLOURS = {'strip': '#2a6f97', 'fused': '#e07a1f', 'compiled': '#8d99ae', 'low-memory': '#588157'}


def measured() -> list[dict[str, Any]]:
    """Return the rows of forward and backward, the stock path left out."""
    rows: list[dict[str, Any]] = []
    for path in sorted((HERE / 'results').glob('upsampling_*.csv')):
        with path.open(newline='', encoding='utf-8') as file:
            rows += [row for row in csv.DictReader(file) if row['phase'] == 'both' and row['path'] != 'stock']
    return sorted(rows, key=lambda row: [row[name] for name in ('device', 'threads', 'clock', 'shape', 'loss', 'path')])


def write_table(rows: list[dict[str, Any]]) -> None:
    """Rewrite the table of docs/upsampling.md."""
    head = ('device', 'shape', 'loss', 'path', 'faster', 'less extra memory')
    lines = []
    for row in rows:
        faster = f'{float(row["speedup"]):.1f} × ({float(row["p50_ms"]):.0f} ms)'
        less = f'{float(row["less_memory"]):.1f} × ({float(row["extra_mb"]):.0f} MB)'
        lines.append((_device(row), row['shape'], row['loss'], row['path'], faster, less))
    replace_table('upsampling.md', head, lines)


def _device(row: dict[str, Any]) -> str:
    clock = '' if row['clock'] == 'wall' else f', {row["clock"]} time'
    return f'{row["device"]}, {row["threads"]} thread{"s" * (row["threads"] != "1")}{clock}'


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw one pair of bars per row."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    rows = rows[::-1]
    names = [' · '.join((row['loss'].replace('Loss', ''), row['shape'], row['path'], _device(row))) for row in rows]
    figure, axes = plt.subplots(1, 2, figsize=(11, 1.2 + 0.24 * len(rows)), sharey=True, layout='constrained')
    panels = {'speedup': 'speed, times faster', 'less_memory': 'extra memory, times less'}
    for axis, (column, title) in zip(axes, panels.items(), strict=True):
        axis.barh(names, [float(row[column]) for row in rows], color=[COLOURS[row['path']] for row in rows])
        axis.axvline(1, color='black', linewidth=0.8)
        axis.set_xlabel(title)
        axis.bar_label(axis.containers[0], fmt='%.1f', padding=2, fontsize=8)
        axis.spines[['top', 'right']].set_visible(False)
        axis.margins(x=0.12, y=0.01)
    figure.suptitle('Losses, heads and predictions from low-resolution logits, relative to the stock path (line)')
    figure.savefig(path, dpi=110)


def main() -> None:
    rows = measured()
    write_table(rows)
    draw(rows, HERE.parent / 'docs/upsampling.png')


if __name__ == '__main__':
    main()
