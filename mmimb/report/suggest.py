"""A config to start from, chosen from the statistics by the rules in docs/scanning.md, with its reasons."""
from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..loss_places import missing_parts
from ..printable import printable
from ..scan.crops import CropCounts
from ..scan.findings import ERROR, FINDINGS
from ..stats import ClassStats
from ..stats.imbalance import RARE_IMAGES, Derived, class_labels, derive
from .evidence import nearest
from .losses import changed_losses
from .override import Variable, override, text_of

EVEN = 20  # imbalance ratio below which weights are not worth it
NAMED = 4
EVALUATORS = ('val_evaluator', 'test_evaluator')
CHILD = 'my_child_config.py'
MARKER = '# Written by `mmimb scan`, and again by the next: put changes of your own into a child of it.'
UNCONFIRMED = 'The study has not confirmed that step.'
SAMPLER = ('if the IoU stays at 0, show those images more often (mmimb.RepeatFactorSampler), for a loss cannot use what the '
           f'batch does not hold. {UNCONFIRMED}')
CROP = f'a crop around a rare class shows them more often (mmimb.RareClassCrop). {UNCONFIRMED}'
USUAL: Mapping[str, Any] = {  # assumed of a base config that is not known
    'model': {'decode_head': {'loss_decode': {}}}, 'val_evaluator': {}, 'test_evaluator': {}}


@dataclass(frozen=True)
class Suggestion:
    """A child config, what to run with it, and why.

    Args:
        config: Its text, which names its base and the report; empty where the base has no loss to change.
        loss: The suggested loss on pixels, with ``stats`` as a path.
        commands: Training, and the tuning of the decision, or testing where there is nothing to tune.
        reasons: Sentences on what was chosen, then on what no setting can mend.
    """

    config: str
    loss: Mapping[str, Any]
    commands: tuple[str, ...]
    reasons: tuple[str, ...]

    def file(self) -> str:
        """Return the config as a file, with the reasons as comments."""
        reasons = [line for reason in self.reasons for line in textwrap.wrap(printable(reason), 118)]
        return '\n'.join([MARKER, *(f'# {line}' for line in reasons), self.config])


def suggest(stats: ClassStats, base: str = 'my_config.py', report: str = 'data/my/stats.json', *,
            cfg: Mapping[str, Any] | None = None, crops: CropCounts | None = None, child: str = CHILD,
            overrides: Sequence[str] = ()) -> Suggestion:
    """Choose loss and weights, and say how to go on.

    Args:
        stats: The counts.
        base: The config to build on, as the new one names it.
        report: Where the scanner's report lies, as training will open it.
        cfg: The base itself, whose heads get the loss; without, one head is taken for granted.
        crops: What batches hold, if it was counted.
        child: Where the new config will lie.
        overrides: ``key=value`` with which the base was scanned, which the commands need as well.
    """
    cfg = USUAL if cfg is None else cfg
    model = cfg.get('model') or {}
    found = derive(stats)
    loss, reasons = _loss(found, stats.num_classes, report)
    losses = changed_losses(_named(loss), stats, model)
    if losses.changes and not losses.on_pixels:
        reasons = [f'The imbalance ratio is {found.ratio:,.0f} : 1.']  # the rest is about losses on pixels
    notes = [*losses.notes, *missing_parts(model), *_split(cfg), *_seldom(stats, found, crops, _batch_size(cfg)),
             *_limits(stats, found)]
    if not losses.changes:
        return Suggestion('', loss, (), (f'No config is suggested: {losses.nothing}.', *notes))
    lines = [f'_base_ = {base!r}', f'stats = {report!r}']
    if 'class_weight' in loss and losses.on_pixels:
        lines.append(f"weight = {text_of({**loss['class_weight'], 'stats': Variable('stats')})}")
    if losses.query_weights:
        lines.append(f'query_weights = {text_of(losses.query_weights)}')
    lines += [f'# left as it was: {line}' for line in losses.left]
    lines += [f"model = {text_of(override(model, losses.changes))}"]
    lines += [f"{key} = dict(_delete_=True, type='mmimb.LongTailIoUMetric', stats=stats)" for key in EVALUATORS
              if cfg.get(key) is not None]
    options = ['--cfg-options', *overrides] if overrides else []
    after = (['tune', child, 'CHECKPOINT', '--out', 'tuned.pth'] if losses.tunable else
             ['test', child, 'CHECKPOINT', '--out', 'metrics.json'])
    commands = tuple(shlex.join(['mmimb', *words, *options]) for words in (['train', child], after))
    return Suggestion('\n'.join(lines) + '\n', loss, commands, (*reasons, *notes))


def fix_first(audit: Mapping[str, Any]) -> list[str]:
    """Return a line for every kind of error in the findings of a scan: no setting mends them."""
    return [f'{entry["total"]:,} {FINDINGS[name].title if name in FINDINGS else name} ({name})'
            for name, entry in audit.items() if entry['severity'] == ERROR]


def _loss(found: Derived, classes: int, report: str) -> tuple[dict[str, Any], list[str]]:
    ratio = f'The imbalance ratio is {found.ratio:,.0f} : 1'
    if found.ratio < EVEN:
        return {'type': 'mmimb.CrossEntropyLoss'}, [
            f'{ratio}, below {EVEN}: plain cross-entropy. Nothing so even was measured; the tuning after training changes '
            'nothing where there is nothing to gain.']
    weight = {'type': 'mmimb.InverseFrequency', 'stats': report, 'power': 0.5}
    reasons = [f'{ratio}, at least {EVEN}: weights by the root of the inverse frequency, which differ by a factor of '
               f'{found.ratio ** 0.5:.0f}, make the network learn rare classes; offsets, tuned on held-out images, then take '
               'back the precision that weights cost.']
    evidence = nearest(found.ratio, classes)
    if evidence is not None:
        reasons.append(f'Measured against cross-entropy where ratio and number of classes are nearest: {evidence}')
        if evidence.higher:
            reasons.append(f'Better still there, so worth a run if your data are like that: {evidence.higher}')
    return {'type': 'mmimb.CrossEntropyLoss', 'class_weight': weight}, reasons


def _named(loss: Mapping[str, Any]) -> dict[str, Any]:
    """Return the loss with the variable ``weight`` of the text in the place of the weights."""
    return {key: Variable('weight') if key == 'class_weight' else value for key, value in loss.items()}


def _split(cfg: Mapping[str, Any]) -> list[str]:
    """Return a sentence if the images to tune on are those that are reported, as in most configs of MMSegmentation."""
    val, test = ((cfg.get(f'{name}_dataloader') or {}).get('dataset') for name in ('val', 'test'))
    if val is None or val != test:
        return []
    return ['`val_dataloader` and `test_dataloader` hold the same images: tune on others (`--split`), or the scores that you '
            'report are too good.']


def _batch_size(cfg: Mapping[str, Any]) -> int:
    size = (cfg.get('train_dataloader') or {}).get('batch_size')
    return size if isinstance(size, int) and size > 0 else 1


def _seldom(stats: ClassStats, found: Derived, crops: CropCounts | None, batch: int) -> list[str]:
    """Return what can be done about classes that most batches lack; no rule, for the study has not confirmed it.

    Where crops were counted, they decide: they are what batches hold, after the pipeline and whatever repeats images.
    """
    if crops is None:
        if not found.rare_images:
            return []
        return [f'{_occur(stats, found.rare_images)} in less than 5 % of the images (how many in brackets): {SAMPLER}']
    shares = [count / crops.num_crops for count in crops.images]
    lost = [c for c in reversed(stats.order()) if stats.pixels[c] and shares[c] < RARE_IMAGES]
    notes = []
    for few, text in ((True, SAMPLER), (False, CROP)):
        if members := [c for c in lost if (c in found.rare_images) == few]:
            names = _names(stats, [(c, f'{100 * shares[c]:.1f} %, {_how_often(shares[c], batch)}') for c in members])
            notes.append(f'{names} {_verb(members)} in less than 5 % of the crops (share in brackets)'
                         + (f', and of the images: {text}' if few else f', though in more of the images: {text}'))
    return notes


def _how_often(share: float, batch: int) -> str:
    """Return which part of the batches holds a class that is in this share of the crops."""
    if share == 0:
        return 'no batch'
    every = 1 / (1 - (1 - share) ** batch)
    return f'one batch of {batch} in {every:.0f}' if every >= 1.5 else f'most batches of {batch}'


def _limits(stats: ClassStats, found: Derived) -> list[str]:
    notes = []
    if found.few_images:
        notes.append(f'{_occur(stats, found.few_images)} in fewer than 20 images: no loss makes up for that; label more '
                     'of them, or merge them with a neighbouring class.')
    if found.absent:
        notes.append(f'{_occur(stats, found.absent, "never ")}: the network cannot learn that, and the IoU is 0 or undefined.')
    if found.ignored is not None and found.ignored > 0.3:
        notes.append(f'{100 * found.ignored:.0f} % of the pixels have no label: check `reduce_zero_label`, `label_map` and '
                     '`ignore_index` before anything else.')
    return notes


def _occur(stats: ClassStats, members: Sequence[int], adverb: str = '') -> str:
    images = stats.images or (0,) * stats.num_classes
    return f'{_names(stats, [(c, str(images[c] or "")) for c in members])} {adverb}{_verb(members)}'


def _names(stats: ClassStats, members: Sequence[tuple[int, str]]) -> str:
    """Return the first names, each with its number in brackets, and how many are left."""
    names = [class_labels(stats)[c] + (f' ({number})' if number else '') for c, number in members]
    more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return f'{", ".join(names[:NAMED])}{more}'


def _verb(members: Sequence[int]) -> str:
    return 'occur' if len(members) > 1 else 'occurs'
