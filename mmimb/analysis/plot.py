"""The figure of a comparison: IoU per class, from frequent to rare, and the differences with their intervals."""
from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from .pairs import Comparison
from .runs import Run, class_order, group_names

PER_ROW = 50
COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#F0E442', '#555555')  # told apart by all eyes
GROUP_SHADES = ('#ffffff', '#f1f1f1')
BAR_INCHES = 0.16
LABELLED = 24  # differences in a row, above which their values are not written


def draw(runs: Sequence[Run], found: Sequence[Comparison] = (), *, kind: str = 'png') -> bytes:
    """Return :func:`bar_chart` as a file of a kind that matplotlib knows."""
    file = io.BytesIO()
    bar_chart(runs, found).savefig(file, format=kind, dpi=130)
    return file.getvalue()


def bar_chart(runs: Sequence[Run], found: Sequence[Comparison] = ()) -> Any:
    """Return a figure of grouped bars per class, rows of at most 50 classes, error bars where there are several seeds.

    Below each row are the differences to the first run with their 95 % intervals, over the seeds or else over the images.

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
    parts = 2 if found else 1
    figure = Figure(figsize=(width, 0.9 + (3.6 + 2.2 * (parts - 1)) * rows), layout='constrained')
    axes = figure.subplots(parts * rows, 1, squeeze=False, height_ratios=[3.6, 2.2][:parts] * rows)[:, 0]
    limits = _limits(found, names)
    for i in range(rows):
        row = names[i * per_row:(i + 1) * per_row]
        _draw_row(axes[parts * i], runs, row, groups)
        if found:
            _draw_differences(axes[2 * i + 1], runs, found, row, limits)
            axes[2 * i].tick_params(labelbottom=False)
        _name_classes(axes[parts * i + parts - 1], row)
        for ax in axes[parts * i:parts * (i + 1)]:
            _mark_groups(ax, [groups[c] for c in row], list(dict.fromkeys(groups.values())), named=ax is axes[parts * i])
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
    ax.set_xticks(range(len(names)))
    ax.set_ylim(0, 112)
    ax.set_yticks(range(0, 101, 20))
    ax.set_ylabel('IoU [%]')
    ax.grid(axis='y', color='#dddddd', linewidth=0.6, zorder=0)
    ax.spines[['top', 'right']].set_visible(False)


def _draw_differences(ax: Any, runs: Sequence[Run], found: Sequence[Comparison], names: Sequence[str],
                      limits: tuple[float, float]) -> None:
    over = []
    for i, comparison in enumerate(found):
        color = COLORS[[run.name for run in runs].index(comparison.run.name) % len(COLORS)]
        for c, name in enumerate(names):
            interval, source = comparison.told(f'IoU.{name}')
            x = c + (i - (len(found) - 1) / 2) * 0.8 / len(found)
            if not math.isnan(interval.low):
                over.append(source)
                ax.plot([x, x], interval[1:], color=color, linewidth=2, solid_capstyle='butt', zorder=2, alpha=0.55)
            ax.plot(x, interval.mean, 'o', color=color, markersize=5, zorder=3)
            if len(names) * len(found) <= LABELLED and not math.isnan(interval.mean):
                ax.annotate(f'{interval.mean:+.1f}', (x, interval.mean), (6, 0), textcoords='offset points', va='center',
                            fontsize=8, color='#333333', zorder=4)
    ax.axhline(0, color='#555555', linewidth=0.9, zorder=1)
    ax.set_ylim(*limits)
    bars = f'\n95 % {" or ".join(dict.fromkeys(over))}' if over else ''
    ax.set_ylabel(f'Δ IoU [points]{bars}', fontsize=9)
    ax.grid(axis='y', color='#dddddd', linewidth=0.6, zorder=0)
    ax.spines[['top', 'right']].set_visible(False)


def _limits(found: Sequence[Comparison], names: Sequence[str]) -> tuple[float, float]:
    """Return the ends of the axis of the differences: 0, all points, and their intervals unless these dwarf them."""
    gains = [comparison.told(f'IoU.{c}')[0] for comparison in found for c in names]
    most = 3 * max((abs(gain.mean) for gain in gains if not math.isnan(gain.mean)), default=1)
    values = [max(-most, min(most, value)) for gain in gains for value in gain if not math.isnan(value)]
    low, high = min([-1.0, *values]), max([1.0, *values])
    return low - 0.1 * (high - low), high + 0.1 * (high - low)


def _name_classes(ax: Any, names: Sequence[str]) -> None:
    if len(names) <= 10 and max(map(len, names)) <= 9:
        style: dict[str, Any] = {'fontsize': 9}
    elif len(names) <= 25:
        style = {'fontsize': 9, 'rotation': 40, 'ha': 'right', 'rotation_mode': 'anchor'}
    else:
        style = {'fontsize': 8, 'rotation': 90}
    ax.set_xticks(range(len(names)), [_plain(name) for name in names], **style)


def _mark_groups(ax: Any, row: Sequence[str], known: Sequence[str], *, named: bool) -> None:
    start = 0
    for i in range(1, len(row) + 1):
        if i < len(row) and row[i] == row[start]:
            continue
        ax.axvspan(start - 0.5, i - 0.5, color=GROUP_SHADES[known.index(row[start]) % 2], zorder=-1, linewidth=0)
        if named:
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
