"""The figure of a comparison: IoU per class, from frequent to rare."""
from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from .runs import Run, class_order, group_names

PER_ROW = 50
COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#F0E442', '#555555')  # told apart by all eyes
GROUP_SHADES = ('#ffffff', '#f1f1f1')
BAR_INCHES = 0.16


def draw(runs: Sequence[Run]) -> bytes:
    """Return :func:`bar_chart` as a PNG."""
    png = io.BytesIO()
    bar_chart(runs).savefig(png, format='png', dpi=130)
    return png.getvalue()


def bar_chart(runs: Sequence[Run]) -> Any:
    """Return a figure of grouped bars per class, rows of at most 50 classes, error bars where there are several seeds.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f'matplotlib must be installed to draw the figure, got {error}') from error
    groups = class_order(runs)
    names = list(groups)
    rows = math.ceil(len(names) / PER_ROW)
    per_row = math.ceil(len(names) / rows)
    width = min(max(7.0, 1.2 + per_row * BAR_INCHES * (len(runs) + 1)), 21.0)
    figure = Figure(figsize=(width, 0.9 + 3.6 * rows), layout='constrained')
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for i, ax in enumerate(axes):
        _draw_row(ax, runs, names[i * per_row:(i + 1) * per_row], groups)
        ax.set_xlim(-0.6, per_row - 0.4)
    order = 'from frequent to rare' if any(groups.values()) else 'in label order (frequencies unknown)'
    figure.suptitle(f'IoU per class, {order}', fontsize=13, fontweight='bold')
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=max(1, min(len(runs), int(width / 3.2))), frameon=False)
    return figure


def _draw_row(ax: Any, runs: Sequence[Run], names: Sequence[str], groups: dict[str, str]) -> None:
    bar = 0.8 / len(runs)
    for i, run in enumerate(runs):
        x = [c + (i - (len(runs) - 1) / 2) * bar for c in range(len(names))]
        mean = [run.mean(f'IoU.{c}') for c in names]
        ax.bar(x, mean, bar, label=_label(run, runs), color=COLORS[i % len(COLORS)], zorder=2,
               hatch=None if i < len(COLORS) else '///', edgecolor='white', linewidth=0.3)
        spread = [run.std(f'IoU.{c}') for c in names]
        if not all(math.isnan(s) for s in spread):
            ax.errorbar(x, mean, [0 if math.isnan(s) else s for s in spread], fmt='none', ecolor='#222222', elinewidth=0.8,
                        capsize=1.5, zorder=3)
        for position, value in zip(x, mean, strict=True):
            if not value >= 1:  # no bar to be seen; NaN: not measured
                text = '–' if math.isnan(value) else '0' if value < 0.05 else f'{value:.1f}'
                ax.text(position, 1.2, text, ha='center', va='bottom', fontsize=7, color=COLORS[i % len(COLORS)])
    _name_classes(ax, names)
    ax.set_ylim(0, 112)
    ax.set_yticks(range(0, 101, 20))
    ax.set_ylabel('IoU [%]')
    ax.grid(axis='y', color='#dddddd', linewidth=0.6, zorder=0)
    ax.spines[['top', 'right']].set_visible(False)
    _mark_groups(ax, [groups[c] for c in names], list(dict.fromkeys(groups.values())))


def _name_classes(ax: Any, names: Sequence[str]) -> None:
    if len(names) <= 10 and max(map(len, names)) <= 9:
        style: dict[str, Any] = {'fontsize': 9}
    elif len(names) <= 25:
        style = {'fontsize': 9, 'rotation': 40, 'ha': 'right', 'rotation_mode': 'anchor'}
    else:
        style = {'fontsize': 8, 'rotation': 90}
    ax.set_xticks(range(len(names)), [_plain(name) for name in names], **style)


def _mark_groups(ax: Any, row: Sequence[str], known: Sequence[str]) -> None:
    start = 0
    for i in range(1, len(row) + 1):
        if i < len(row) and row[i] == row[start]:
            continue
        ax.axvspan(start - 0.5, i - 0.5, color=GROUP_SHADES[known.index(row[start]) % 2], zorder=-1, linewidth=0)
        ax.text((start + i - 1) / 2, 111, row[start], ha='center', va='top', fontsize=10, color='#666666', style='italic')
        start = i


def _label(run: Run, runs: Sequence[Run]) -> str:
    seeds = f', {len(run.seeds)} seeds' if len(run.seeds) > 1 else ''
    known = 'tail' in group_names(runs) and not math.isnan(run.mean('mIoU_tail'))
    tail = f', tail {run.mean("mIoU_tail"):.1f}' if known else ''
    return f'{_plain(run.name)} (mIoU {run.mean("mIoU"):.1f}{tail}{seeds})'


def _plain(text: str) -> str:
    """Return text that matplotlib shows as it is: no formula, and not hidden from the legend."""
    return (' ' if text.startswith('_') else '') + text.replace('$', r'\$')
