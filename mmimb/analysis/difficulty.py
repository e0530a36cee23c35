"""The figure of a run with difficulty-balanced weights: difficulty and weight per class over time."""
from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROW_INCHES = 0.17
MAX_NAMED = 160


@dataclass(frozen=True)
class Measurement:
    """One measurement, as one user of it (a loss or a sampler) took it over.

    Args:
        iteration: Iterations that were done.
        user: Name of the loss, or ``'sampler'``.
        tau: Exponent.
        difficulty: Per class, in [0.01, 1].
        weight: Per class.
    """

    iteration: int
    user: str
    tau: float
    difficulty: Sequence[float]
    weight: Sequence[float]


def draw_difficulty(measurements: Sequence[Measurement], classes: Sequence[str]) -> bytes:
    """Return :func:`difficulty_chart` as a PNG."""
    png = io.BytesIO()
    difficulty_chart(measurements, classes).savefig(png, format='png', dpi=110)
    return png.getvalue()


def difficulty_chart(measurements: Sequence[Measurement], classes: Sequence[str]) -> Any:
    """Return a figure with a row per class, the hardest at the end on top, and time to the right.

    Only the first user of the measurements is drawn: others differ in exponent or measure, if at all.

    Args:
        measurements: In the order of time, at least one.
        classes: Names of the classes.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter
    shown = [m for m in measurements if m.user == measurements[0].user]
    order = sorted(range(len(classes)), key=lambda c: -shown[-1].difficulty[c])
    figure = Figure(figsize=(12, max(3.2, 1.5 + ROW_INCHES * min(len(classes), MAX_NAMED))), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    figure.suptitle(f'Class difficulty and weight during training, {_plain(shown[0].user)}', fontweight='bold')
    low = max(min(min(m.weight) for m in shown), 1e-3)
    high = max(max(max(m.weight) for m in shown), low * 1.01)
    panels = (left, 'difficulty (1 - score)', [m.difficulty for m in shown], {'vmin': 0, 'vmax': 1, 'cmap': 'viridis'}), \
        (right, 'weight', [m.weight for m in shown], {'norm': LogNorm(low, high), 'cmap': 'cividis'})
    for ax, title, rows, style in panels:
        edges = _edges([m.iteration for m in shown])
        mesh = ax.pcolormesh(edges, range(len(classes) + 1), [[row[c] for row in rows] for c in order], **style)
        bar = figure.colorbar(mesh, ax=ax, pad=0.01, fraction=0.04, aspect=40, format='%g')
        bar.ax.yaxis.set_minor_formatter('{x:g}' if high < 20 * low else NullFormatter())
        ax.locator_params(axis='x', nbins=6)
        ax.set_title(title, fontsize=11)
        ax.set_xlabel('iteration')
    left.set_ylim(len(classes), 0)
    if len(classes) <= MAX_NAMED:
        left.set_yticks([i + 0.5 for i in range(len(classes))], [_plain(classes[c]) for c in order], fontsize=8)
    return figure


def _edges(iterations: Sequence[int]) -> list[float]:
    """Return where the columns begin, and where the last one ends: a measurement holds until the next one."""
    step = iterations[-1] - iterations[-2] if len(iterations) > 1 else max(iterations[0], 1)
    return [*iterations, iterations[-1] + step]


def _plain(text: str) -> str:
    return text.replace('$', r'\$')
