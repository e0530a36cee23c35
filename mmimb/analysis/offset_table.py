"""What tuning did, as text."""
from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from ..printable import printable
from .offset_evidence import LEVEL
from .offset_objective import Counts
from .offsets import Tuning

WIDTH = 128


def tuning_table(tuning: Tuning, classes: Sequence[str], before: Counts, after: Counts) -> str:
    """Return offset, share, IoU, recall and precision of every class before and after, rarest last.

    Args:
        tuning: What was found.
        classes: Names.
        before: ``(C,)`` counts of the whole split.
        after: The same with the offsets.
    """
    classes = [printable(name) for name in classes]
    width = max(5, *(len(name) for name in classes))
    lines = [f'{"class":<{width}} {"share":>8} {"offset":>8}   {"IoU":^15}   {"recall":^15}   {"precision":^15}']
    order = np.argsort(-before.labels, kind='stable')
    for c in order:
        share = 100 * before.labels[c] / before.labels.sum()
        cells = [f'{old:>6} > {new:<6}' for old, new in zip(_scores(before, c), _scores(after, c), strict=True)]
        lines.append(f'{classes[c]:<{width}} {share:>7.3f}% {tuning.offsets[c]:>+8.3f}   {"   ".join(cells)}'.rstrip())
    return '\n'.join(lines)


def tuning_sentence(tuning: Tuning) -> str:
    """Return in a few lines what was chosen, and what can be expected of it."""
    tried = '; '.join(f'{way.name} {way.gain:+.2f} ({way.interval[0]:+.2f} to {way.interval[1]:+.2f})'
                      for way in tuning.candidates)
    over = '' if tuning.start is None else ' over the start'
    tried = f'Compared by cross-validation over {tuning.num_groups} groups, gain of {tuning.objective}{over}: {tried}.'
    tried = textwrap.fill(tried, WIDTH, subsequent_indent='  ', break_on_hyphens=False)
    for start, verb in ((tuning.start, 'changes'), (tuning.dropped, 'was dropped, for it changes')):
        if start is not None:
            tried = (f'Start: half of the class weights taken back, which {verb} {tuning.objective} by {start.gain:+.2f} '
                     f'({start.interval[0]:+.2f} to {start.interval[1]:+.2f}).\n{tried}')
    if not tuning.changed:
        return f'No change: no offsets are sure to raise {tuning.objective} ({tuning.before:.2f} on this split).\n{tried}'
    on_top = ', on top of the start' if tuning.start is not None and tuning.family != 'start' else ''
    kind = {'prior': f'-{tuning.tau:g} log(share)' if tuning.tau >= 0 else f'{-tuning.tau:g} log(share)',
            'start': 'half of the class weights taken back; no others are sure to be better',
            'per-class': 'one offset per class',
            'shrunk': f'one per class, shrunk towards {0 - tuning.tau:g} log(share), half of the way where a class is in '
                      f'{tuning.strength or 0:g} group{"s" * (tuning.strength != 1)}'}
    low, high = tuning.interval
    return (f'Offsets: {kind[tuning.family]}{on_top}. Expected gain of {tuning.objective} on new images: {tuning.gain:+.2f} '
            f'points ({LEVEL:g} % interval {low:+.2f} to {high:+.2f}).\n'
            f'On this split, where they were found: {tuning.before:.2f} > {tuning.after:.2f}.\n{tried}')


def _scores(counts: Counts, c: int) -> list[str]:
    hits, labels, predicted = counts.hits[c], counts.labels[c], counts.predicted[c]
    return [f'{100 * hits / whole:.2f}' if whole else '-' for whole in (labels + predicted - hits, labels, predicted)]
