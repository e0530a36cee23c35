"""An explanation as a page and as lines for the terminal."""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..analysis.advice import Advice, advise, story
from ..analysis.evidence import Fate, RunEvidence
from ..printable import printable
from ..stats import ClassStats
from ..stats.imbalance import derive
from .error_pictures import picture_panels
from .explain_figures import RUN_COLORS, confusion_cells, frequency_iou_figure, object_figure, precision_recall_figure
from .svg import GROUP_COLORS
from .templating import render_page

PARTS = 4  # of a fate bar
KINDS = {'worst': 'lowest IoU', 'lost': 'most lost pixels'}
MATRIX = 30  # classes of a matrix whose cells hold numbers


class Part(NamedTuple):
    """A part of the bar that shows what becomes of a class."""

    share: float
    name: str
    color: str


@dataclass(frozen=True)
class RareClass:
    """What the page and the terminal say of a rare class.

    Args:
        class_index: The class.
        name: Its name.
        fates: Of each run.
        sentences: What happens to it in the first run.
        advice: What would help.
        parts: Of the bar, for each run.
        curves: Precision and recall as SVG, '' without scores.
        change: What the second run does to it, '' without one.
    """

    class_index: int
    name: str
    fates: tuple[Fate, ...]
    sentences: tuple[str, ...]
    advice: tuple[Advice, ...]
    parts: tuple[tuple[Part, ...], ...]
    curves: str
    change: str


class Shown(NamedTuple):
    """An image of the page: what leads to it, why it is shown, its numbers and its panels."""

    anchors: list[str]
    titles: list[str]
    file: str
    numbers: str
    panels: list[str]


def render_explanation(found: Any) -> bytes:
    """Return the page of an :class:`mmimb.engine.explaining.Explanation`. Names are escaped, whatever they hold.

    Raises:
        ImportError: jinja2 or matplotlib is missing.
    """
    return render_page('explain.html.j2', _values(found))


def explained_lines(found: Any) -> list[str]:
    """Return the summary for the terminal."""
    runs, names = found.runs, [printable(name) for name in found.runs[0].classes]
    lines = [f'{found.split} split, {len(runs[0].counts):,} images']
    for run, label in zip(runs, run_names(runs), strict=True):
        metrics, scores = run.metrics, run.image_scores()
        lines.append(f'{label}: mIoU {metrics["mIoU"]:.1f}, tail {metrics.get("mIoU_tail", float("nan")):.1f}; of images '
                     f'{scores["mIoU_I"]:.1f}, of the worst 5 % {scores["mIoU_I_q5"]:.1f}; of classes in images '
                     f'{scores["mIoU_C"]:.1f}')
    for rare in rare_stories(found, names, [run.fates() for run in found.runs]):
        lines += ['', f'{rare.name}: {" ".join(rare.sentences)}', *([rare.change] if rare.change else [])]
        lines += [f'  -> {advice.title}: {advice.text}' for advice in rare.advice]
    return [*lines, '', *(f'note: {notice}' for notice in found.notices)]


def rare_stories(found: Any, names: Sequence[str], fates: Sequence[Sequence[Fate]], *, figures: bool = False
                 ) -> list[RareClass]:
    """Return what is said of each rare class, the rarest first, by what became of the classes in each run."""
    runs: tuple[RunEvidence, ...] = found.runs
    labels = run_names(runs)
    stories = []
    for c in found.rare:
        first, facts = fates[0][c], found.facts[c]
        curves = precision_recall_figure(runs, c, names[c]) if figures and runs[0].curves is not None and first.labelled else ''
        stories.append(RareClass(
            c, names[c], tuple(of_run[c] for of_run in fates), tuple(story(first, facts, names)),
            tuple(advise(first, facts, names, movable=runs[0].movable)),
            tuple(tuple(_parts(of_run[c], names, found.palette)) for of_run in fates), curves,
            _change(first, fates[1][c], labels[1]) if len(fates) > 1 and first.labelled else ''))
    return stories


def run_names(runs: Sequence[RunEvidence]) -> list[str]:
    """Return short names of the checkpoints: the file's, with its folder where two are alike."""
    paths = [os.path.normpath(run.name) for run in runs]
    short = [os.path.basename(path) for path in paths]
    if len(set(short)) < len(short):
        short = [os.path.join(os.path.basename(os.path.dirname(path)), os.path.basename(path)) for path in paths]
    return [printable(name) for name in short]


def _values(found: Any) -> dict[str, Any]:
    runs: tuple[RunEvidence, ...] = found.runs
    stats: ClassStats = found.stats
    names = [printable(name) for name in runs[0].classes]
    labels, fates = run_names(runs), [run.fates() for run in runs]
    order = stats.order()[::-1]
    linked = {(choice.class_index, choice.other) for choice in found.choices if choice.kind == 'taken'}
    return {
        'title': found.title, 'split': found.split, 'report': found.report, 'runs': runs, 'run_names': labels, 'names': names,
        'order': order, 'found': derive(stats), 'facts': found.facts, 'fates': fates,
        'image_scores': [run.image_scores() for run in runs], 'rare': rare_stories(found, names, fates, figures=True),
        'matrices': [confusion_cells(run, order, names, linked if run is runs[0] else set()) for run in runs],
        'numbered': len(names) <= MATRIX, 'shown': _shown(found, names), 'swatches': _swatches(found, names),
        'scatter': frequency_iou_figure(stats, fates, labels, names), 'objects': object_figure(runs, found.rare, names),
        'group_colors': GROUP_COLORS, 'run_colors': RUN_COLORS, 'notices': found.notices,
    }


def _parts(fate: Fate, names: Sequence[str], palette: Any) -> list[Part]:
    """Return the parts of the bar: found, what takes the most pixels, the rest."""
    if not fate.labelled:
        return []
    taken = fate.taken[:PARTS]
    rest = 1 - fate.recall - sum(share for _, share in taken)
    parts = [Part(fate.recall, 'found', 'var(--found)'), *(Part(share, names[c], _css(palette[c])) for c, share in taken)]
    return [part for part in [*parts, Part(rest, 'others', 'var(--soft)')] if part.share >= 5e-4]


def _change(first: Fate, second: Fate, label: str) -> str:
    return (f'{label}: IoU {100 * first.iou:.1f} → {100 * second.iou:.1f}, {100 * first.recall:.1f} → '
            f'{100 * second.recall:.1f} % of its pixels found, {first.found:,} → {second.found:,} of {first.objects:,} '
            f'objects; precision {_percent(first.precision)} → {_percent(second.precision)}.')


def _percent(share: float) -> str:
    return '–' if share != share else f'{100 * share:.1f} %'


def _shown(found: Any, names: Sequence[str]) -> dict[int, list[Shown]]:
    """Return the images of each rare class, drawn; one that was chosen for several reasons comes once."""
    shown: dict[int, dict[int, Shown]] = {}
    counts = found.runs[0].counts.dense(len(names))
    for choice in found.choices:
        c, of_class = choice.class_index, shown.setdefault(choice.class_index, {})
        if choice.image not in of_class:
            picture = found.pictures[choice.image]
            right, label, pred = counts[:, choice.image, c].tolist()
            numbers = f'IoU {100 * right / (label + pred - right):.1f} %, {label - right:,} of {label:,} pixels lost'
            panels = picture_panels(picture.image, picture.label, picture.predictions, c, found.palette)
            of_class[choice.image] = Shown([], [], picture.file, numbers, panels)
        one = of_class[choice.image]
        one.titles.append(KINDS.get(choice.kind, '') or f'most pixels taken for {names[choice.other]}')
        if choice.kind == 'taken':
            one.anchors.append(f'taken-{c}-{choice.other}')
    return {c: list(of_class.values()) for c, of_class in shown.items()}


def _swatches(found: Any, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, _css(color)) for name, color in zip(names, found.palette, strict=True)]


def _css(color: Any) -> str:
    return 'rgb({}, {}, {})'.format(*map(int, color))


