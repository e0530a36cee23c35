"""The figures of the report: class frequencies, co-occurrence, and the weights of every scheme."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..stats import ClassStats
from ..stats.imbalance import class_labels, derive
from .schemes import Scheme
from .svg import GROUP_COLORS, INK, LINE_COLORS, new_figure, percent, plain, to_svg

PER_COLUMN = 50
NAMED_ON_AXIS = 30
ROW_INCHES = 0.2


def frequency_figures(stats: ClassStats) -> list[str]:
    """Return bars of the pixel shares on one log scale, at most 50 classes to a figure, from most to least frequent."""
    order = stats.order()
    columns = math.ceil(len(order) / PER_COLUMN)
    length = math.ceil(len(order) / columns)
    return [_frequency_column(stats, order[start:start + length], f'Pixel share of classes {start + 1} and on, by frequency')
            for start in range(0, len(order), length)]


def _frequency_column(stats: ClassStats, members: Sequence[int], label: str) -> str:
    found, names = derive(stats), class_labels(stats)
    shares = [100 * found.prior[c] for c in members]
    low = 10 ** math.floor(math.log10(100 * found.prior[found.least])) / 2
    with new_figure(5.0, 0.65 + ROW_INCHES * len(members)) as figure:
        ax = figure.subplots()
        ax.barh(range(len(members)), [max(p - low, 0) for p in shares], 0.74, left=low,
                color=[GROUP_COLORS[found.group[c]] for c in members])
        for place, p in enumerate(shares):
            ax.text(max(p, low) * 1.12, place, percent(p / 100) if p else 'never', va='center', fontsize=8.5)
        ax.set_xscale('log')
        ax.xaxis.get_major_locator().set_params(numticks=5)
        ax.set_xlim(low, 100 * found.prior[found.most] * (100 * found.prior[found.most] / low) ** 0.2)
        ax.set_ylim(len(members) - 0.4, -0.6)
        ax.set_yticks(range(len(members)), [plain(names[c]) for c in members])
        ax.tick_params(axis='y', length=0)
        ax.minorticks_off()
        ax.xaxis.set_major_formatter('{x:g} %')
        ax.set_xlabel('share of the labelled pixels (log scale)')
        ax.grid(axis='x')
        return to_svg(figure, label)


def scheme_figure(stats: ClassStats, schemes: Sequence[Scheme]) -> str:
    """Return a line for each scheme over the classes from most to least frequent, on a log scale."""
    order, names = stats.order(), class_labels(stats)
    with new_figure(5.2, 4.6) as figure:
        ax = figure.subplots()
        places = range(len(order))
        marker = 'o' if len(order) <= NAMED_ON_AXIS else None
        for index, scheme in enumerate(schemes):
            ax.plot(places, [scheme.weights[c] for c in order], label=scheme.name, color=LINE_COLORS[index % len(LINE_COLORS)],
                    linestyle=('-', '--')['(' in scheme.name], linewidth=1.6, marker=marker, markersize=3)
        ax.axhline(1, color=INK, linewidth=0.6, alpha=0.5)
        ax.set_yscale('log')
        ax.yaxis.set_major_formatter('{x:g}')
        ax.set_ylabel('weight (log scale)')
        ax.grid(axis='y')
        if len(order) <= NAMED_ON_AXIS:
            ax.set_xticks(places, [plain(names[c], 16) for c in order], rotation=45, ha='right', rotation_mode='anchor',
                          fontsize=9)
        else:
            ax.set_xlabel('classes, from most to least frequent')
        _shade_groups(ax, stats)
        figure.legend(loc='outside lower center', ncols=2, fontsize=8.5, handlelength=1.5, columnspacing=1)
        return to_svg(figure, 'Class weights of every scheme')


def cooccurrence_figure(stats: ClassStats, together: npt.NDArray[Any]) -> str:
    """Return the matrix of the share of images with the row's class that also hold the column's class.

    Args:
        stats: The counts.
        together: ``(C, C)`` images that hold both classes.
    """
    order, names = stats.order(), class_labels(stats)
    counts = np.asarray(together, np.float64)[np.ix_(order, order)]
    with np.errstate(invalid='ignore'):
        share = counts / np.diag(counts)[:, None]  # NaN: a class without images
    many = len(order) > NAMED_ON_AXIS
    side = 1.6 + len(order) * (0.11 if many else 0.26)
    with new_figure(side + 0.4, side) as figure:
        ax = figure.subplots()
        image = ax.imshow(share, vmin=0, vmax=1, cmap='cividis', interpolation='nearest')
        shown = [plain(names[c], 16) for c in order]
        style = {'fontsize': 6.5 if many else 9}
        ax.set_xticks(range(len(order)), shown, rotation=90, **style)
        ax.set_yticks(range(len(order)), shown, **style)
        ax.tick_params(length=0, top=many, labeltop=many, right=many, labelright=many)
        _outline_groups(ax, stats)
        if len(order) <= 12:
            for (row, column), value in np.ndenumerate(share):
                if not math.isnan(value):
                    ax.text(column, row, f'{100 * value:.0f}', ha='center', va='center', fontsize=7.5,
                            color='#ffffff' if value < 0.55 else '#000000')
        figure.colorbar(image, ax=ax, shrink=0.6, aspect=30, format=lambda value, _: f'{100 * value:.0f} %')
        return to_svg(figure, 'Which classes occur in the same images')


def _group_edges(stats: ClassStats) -> list[int]:
    sizes = [len(members) for members in stats.groups().values()]
    return [sum(sizes[:1]), sum(sizes[:2])]


def _shade_groups(ax: Any, stats: ClassStats) -> None:
    edges = [0, *_group_edges(stats), stats.num_classes]
    for (name, color), start, end in zip(GROUP_COLORS.items(), edges[:-1], edges[1:], strict=True):
        if end > start:
            ax.axvspan(start - 0.5, end - 0.5, color=color, alpha=0.09, linewidth=0, zorder=0)
            ax.text((start + end - 1) / 2, 0.985, name, transform=ax.get_xaxis_transform(), ha='center', va='top', fontsize=9)
    ax.set_xlim(-0.5, stats.num_classes - 0.5)


def _outline_groups(ax: Any, stats: ClassStats) -> None:
    for edge in _group_edges(stats):
        ax.axhline(edge - 0.5, color='#ffffff', linewidth=0.8)
        ax.axvline(edge - 0.5, color='#ffffff', linewidth=0.8)
