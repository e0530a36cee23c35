"""What a comparison shows, in plain English, and what it does not show."""
from __future__ import annotations

import math
from collections.abc import Sequence

from ..printable import printable
from .pairs import Comparison
from .runs import Run, class_order, group_names
from .tables import EQUAL, bounds, signed

NAMED = 3


def verdict(runs: Sequence[Run], found: Sequence[Comparison]) -> list[str]:
    """Return sentences on every run against the first: where it is better or worse, and how far that can be trusted."""
    lines = []
    for comparison in found:
        parts = [_classes(comparison, class_order(runs)), _means(comparison, group_names(runs)),
                 _trust(comparison, group_names(runs))]
        lines.append(f'{comparison.run.name} against {comparison.base.name}: ' + ' '.join(filter(None, parts)))
    lines.extend(line for run in runs for line in _same_seeds(run))
    lines.extend(line for comparison in found for line in [*_alone(comparison), *_unmeasured(comparison)])
    return [printable(line) for line in lines or [f'{runs[0].name} is alone: name a second run to compare it with.']]


def _classes(comparison: Comparison, order: dict[str, str]) -> str:
    gains = {c: comparison.gain(f'IoU.{c}').mean for c in order}
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


def _means(comparison: Comparison, groups: Sequence[str]) -> str:
    text = f'Overall, mIoU is {_told(comparison, "mIoU")}.'
    if 'tail' not in groups:
        return text + ' No group of tail classes is known.'
    if math.isnan(comparison.gain('mIoU_tail').mean):
        return text + ' The tail classes were not measured in both.'
    return f'{text} On the tail classes it is {_told(comparison, "mIoU_tail")}.'


def _told(comparison: Comparison, key: str) -> str:
    gain = comparison.gain(key).mean
    word = 'higher' if gain >= EQUAL else 'lower' if gain <= -EQUAL else 'equal'
    here, there = comparison.means(key)
    return f'{word}: {here:.2f} against {there:.2f} ({signed(gain)})'


def _trust(comparison: Comparison, groups: Sequence[str]) -> str:
    keys = {'mIoU': 'mIoU', **({'mIoU_tail': 'tail'} if 'tail' in groups else {})}
    texts = [_seeds(comparison), _over_seeds(comparison, keys)]
    images = {name: bounds(comparison.over_images(key)) for key, name in keys.items()}
    told = ', '.join(f'{name} {interval}' for name, interval in images.items() if interval)
    if told:
        texts.append(f'Other images like these {comparison.units} would leave the difference within {told} (95 %, bootstrap).')
    return ' '.join(filter(None, texts))


def _seeds(comparison: Comparison) -> str:
    """Return what the pairs are."""
    run, base = comparison.run, comparison.base
    if comparison.by == 'checkpoint':
        same = 'checkpoint' if len(comparison.pairs) == 1 else 'checkpoints'
        return f'Both tested the same {same}: only how they were tested differs; another training may gain more or less.'
    if not comparison.pairs:
        return 'They have no seed in common, so that nothing is paired: these are differences of means, without an interval; ' \
               'train both with the same seeds.'
    if len(comparison.pairs) == 1:
        single = [r.name for r in (run, base) if len(r.seeds) < 2]
        who = ' and '.join(single) if single else 'in common'
        return f'One seed proves nothing ({who}): the same training with another seed may turn this round.'
    return ''


def _over_seeds(comparison: Comparison, keys: dict[str, str]) -> str:
    """Return the intervals over the seeds, and what all intervals together decide."""
    told = []
    for key, name in keys.items():
        gain = comparison.gain(key)
        if bounds(gain):
            word = {1: 'better', -1: 'worse', 0: 'undecided'}[comparison.side(key)]
            told.append(f'{name} {signed(gain.mean)} ({bounds(gain)}), {word}')
    return f'Over {len(comparison.pairs)} pairs of seeds, with 95 % intervals: {"; ".join(told)}.' if told else ''


def _same_seeds(run: Run) -> list[str]:
    known = [seed for seed in run.seeds if seed is not None]
    if len(set(known)) == len(known):
        return []
    return [f'Note: files of {run.name} have the same seed, so that their spread may be too small, and they are not paired.']


def _alone(comparison: Comparison) -> list[str]:
    """Return a note about results that are in no pair, where others are."""
    notes = []
    for side, run, other in ((0, comparison.run, comparison.base), (1, comparison.base, comparison.run)):
        paired = {pair[side] for pair in comparison.pairs}
        left = [run.seeds[i] for i in range(len(run.seeds)) if i not in paired]
        if comparison.pairs and left:
            names = ', '.join([*map(str, sorted(seed for seed in left if seed is not None)), *['unknown'] * left.count(None)])
            what, verb = ('seed', 'has') if len(left) == 1 else ('seeds', 'have')
            notes.append(f'Note: {what} {names} of {run.name} {verb} no partner in {other.name}, and {verb} no part in the '
                         'differences.')
    return notes


def _unmeasured(comparison: Comparison) -> list[str]:
    notes = []
    for here, there in ((comparison.run, comparison.base), (comparison.base, comparison.run)):
        extra = _measured(here) - _measured(there)
        if extra:
            names = ', '.join(c for c in here.classes if c in extra)
            notes.append(f'Note: {names} counts in {here.name} and not in {there.name} (a class without labels counts where it '
                         'is predicted): the means are over different classes.')
    return notes


def _measured(run: Run) -> set[str]:
    return {c for c in run.classes if len(run.defined(f'IoU.{c}'))}
