"""What a comparison shows, in plain English, and what it does not show."""
from __future__ import annotations

import math
from collections.abc import Sequence

from ..printable import printable
from .runs import Run, class_order, group_names

EQUAL = 0.005  # percent points: scores come with two decimals
NAMED = 3


def difference(run: Run, base: Run, key: str) -> float:
    """Return the difference of the means in percent points, NaN where one is undefined."""
    return run.mean(key) - base.mean(key)


def signed(value: float) -> str:
    """Return ``+1.20`` or ``-0.30``; no sign for zero, ``-`` for NaN."""
    if math.isnan(value):
        return '-'
    return '0.00' if abs(value) < EQUAL else f'{value:+.2f}'


def verdict(runs: Sequence[Run]) -> list[str]:
    """Return sentences on every run against the first: where it is better or worse, and how far that can be trusted."""
    base, groups = runs[0], group_names(runs)
    lines = []
    for run in runs[1:]:
        parts = [_classes(run, base, class_order(runs)), _means(run, base, groups), _trust(run, base, groups)]
        lines.append(f'{run.name} against {base.name}: ' + ' '.join(parts))
    lines.extend(line for run in runs for line in _notes(run, base))
    return [printable(line) for line in lines or [f'{base.name} is alone: name a second run to compare it with.']]


def _classes(run: Run, base: Run, order: dict[str, str]) -> str:
    gains = {c: difference(run, base, f'IoU.{c}') for c in order}
    gains = {c: gain for c, gain in gains.items() if not math.isnan(gain)}
    better = sorted((c for c, gain in gains.items() if gain >= EQUAL), key=lambda c: -gains[c])
    worse = sorted((c for c, gain in gains.items() if gain <= -EQUAL), key=lambda c: gains[c])
    text = f'IoU is higher on {len(better)} of {len(gains)} classes{_examples(better, gains)}, ' \
           f'lower on {len(worse)}{_examples(worse, gains)}'
    equal = len(gains) - len(better) - len(worse)
    return text + (f', equal on {equal}.' if equal else '.')


def _examples(names: Sequence[str], gains: dict[str, float]) -> str:
    if not names:
        return ''
    listed = ', '.join(f'{c} {signed(gains[c])}' for c in names[:NAMED])
    return f' (most: {listed})' if len(names) > NAMED else f' ({listed})'


def _means(run: Run, base: Run, groups: Sequence[str]) -> str:
    gain = difference(run, base, 'mIoU')
    text = f'Overall it is {_word(gain)}: mIoU {run.mean("mIoU"):.2f} against {base.mean("mIoU"):.2f} ({signed(gain)}).'
    if 'tail' not in groups:
        return text + ' No group of tail classes is known.'
    gain = difference(run, base, 'mIoU_tail')
    if math.isnan(gain):
        return text + ' The tail classes were not measured in both.'
    return f'{text} On the tail classes it is {_word(gain)}: mIoU {run.mean("mIoU_tail"):.2f} against ' \
           f'{base.mean("mIoU_tail"):.2f} ({signed(gain)}).'


def _word(gain: float) -> str:
    return 'better' if gain >= EQUAL else 'worse' if gain <= -EQUAL else 'equal'


def _trust(run: Run, base: Run, groups: Sequence[str]) -> str:
    if None not in base.checkpoints and base.checkpoints and set(run.checkpoints) == set(base.checkpoints):
        same = 'checkpoint' if len(base.checkpoints) == 1 else 'checkpoints'
        return f'Both tested the same {same}: only how they were tested differs; another training may gain more or less.'
    single = [r.name for r in (run, base) if len(r.seeds) < 2]
    if single:
        return f'One seed proves nothing ({" and ".join(single)}): the same training with another seed may turn this round.'
    keys = [('mIoU', 'the mIoU'), *([('mIoU_tail', 'the tail mIoU')] if 'tail' in groups else [])]
    texts = []
    for key, what in keys:
        gain, spread = difference(run, base, key), math.hypot(run.std(key), base.std(key))
        if not math.isnan(gain) and not math.isnan(spread):
            size = 'larger than' if abs(gain) > spread else 'within'
            texts.append(f'the difference in {what} ({signed(gain)}) is {size} the spread of the seeds (± {spread:.2f})')
    text = ', '.join(texts)
    seeds = f'{len(run.seeds)} and {len(base.seeds)} seeds: a rough guide, not a significance test'
    return f'{text[:1].upper()}{text[1:]}; {seeds}.' if texts else f'The spread of the seeds is unknown; {seeds}.'


def _notes(run: Run, base: Run) -> list[str]:
    notes = []
    known = [seed for seed in run.seeds if seed is not None]
    if len(set(known)) < len(known):
        notes.append(f'Note: files of {run.name} have the same seed, so that their spread may be too small.')
    for here, there in ((run, base), (base, run)):
        extra = _measured(here) - _measured(there)
        if extra:
            names = ', '.join(c for c in run.classes if c in extra)
            notes.append(f'Note: {names} counts in {here.name} and not in {there.name} (a class without labels counts where it '
                         'is predicted): the means are over different classes.')
    return notes


def _measured(run: Run) -> set[str]:
    return {c for c in run.classes if len(run.defined(f'IoU.{c}'))}
