#!/usr/bin/env python
"""Draw docs/upsampling.png from benchmarks/results/upsampling_*.csv: time and memory relative to the stock path."""
from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COLOURS = {'strip': '#2a6f97', 'fused': '#e07a1f', 'compiled': '#8d99ae'}


def main() -> None:
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    rows: list[dict[str, Any]] = []
    for path in sorted((HERE / 'results').glob('upsampling_*.csv')):
        with path.open(newline='', encoding='utf-8') as file:
            rows += [row for row in csv.DictReader(file) if row['phase'] == 'both' and row['path'] != 'stock']
    rows.sort(key=lambda row: (row['device'], row['threads'], row['shape'], row['loss'], row['path']), reverse=True)
    names = [' · '.join((row['loss'].replace('Loss', ''), row['shape'], row['path'], row['device'], f'{row["threads"]} thr.'))
             for row in rows]
    figure, axes = plt.subplots(1, 2, figsize=(11, 1.2 + 0.24 * len(rows)), sharey=True, layout='constrained')
    for axis, column, title in zip(axes, ('speedup', 'less_memory'), ('times faster', 'times less extra memory'), strict=True):
        axis.barh(names, [float(row[column]) for row in rows], color=[COLOURS[row['path']] for row in rows])
        axis.axvline(1, color='black', linewidth=0.8)
        axis.set_xlabel(f'{title} than the stock path')
        axis.bar_label(axis.containers[0], fmt='%.1f', padding=2, fontsize=8)
        axis.spines[['top', 'right']].set_visible(False)
        axis.margins(x=0.12)
    figure.suptitle('Loss and gradient from low-resolution logits: forward and backward')
    figure.savefig(HERE.parent / 'docs/upsampling.png', dpi=110)


if __name__ == '__main__':
    main()
