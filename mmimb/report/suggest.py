"""A config to start from, chosen from the statistics by the rules in docs/scanning.md, with its reasons."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..scan.crops import CropCounts
from ..scan.findings import ERROR, FINDINGS
from ..stats import ClassStats
from ..stats.imbalance import RARE_IMAGES, Derived, class_labels, derive
from .evidence import nearest

EVEN = 20  # imbalance ratio below which weights are not worth it
NAMED = 4
EVALUATORS = ('val_evaluator', 'test_evaluator')
CHILD = 'my_child_config.py'
USUAL: Mapping[str, Any] = {  # assumed of a base config that is not known
    'model': {'decode_head': {'loss_decode': {}}}, 'val_evaluator': {}, 'test_evaluator': {}}


@dataclass(frozen=True)
class Suggestion:
    """A child config, what to run with it, and why.

    Args:
        config: Its text, which names its base and the report.
        loss: The suggested ``loss_decode`` with ``stats`` as a path.
        commands: Training, and the tuning of the decision.
        reasons: Sentences on what was chosen, then on what no setting can mend.
    """

    config: str
    loss: Mapping[str, Any]
    commands: tuple[str, ...]
    reasons: tuple[str, ...]


def suggest(stats: ClassStats, base: str = 'my_config.py', report: str = 'data/my/stats.json', *,
            cfg: Mapping[str, Any] | None = None, crops: CropCounts | None = None) -> Suggestion:
    """Choose loss and weights, and say how to go on.

    Args:
        stats: The counts.
        base: The config to build on, as the new one names it.
        report: Where the scanner's report lies, as training will open it.
        cfg: The base itself, whose heads get the loss; without, one head is taken for granted.
        crops: What batches hold, if it was counted.
    """
    cfg = USUAL if cfg is None else cfg
    found = derive(stats)
    loss, reasons = _loss(found, stats.num_classes, report)
    lines, left = _heads(loss, cfg.get('model') or {})
    reasons += [*left, *_split(cfg), *_seldom(stats, found, crops), *_limits(stats, found)]
    weight = loss.get('class_weight')
    text = [f'_base_ = {base!r}', f'stats = {report!r}', *([f'weight = {_call(weight)}'] if weight else []), *lines,
            *(f"{key} = dict(_delete_=True, type='mmimb.LongTailIoUMetric', stats=stats)" for key in EVALUATORS if cfg.get(key)
              is not None)]
    commands = (f'mmimb train {CHILD}', f'mmimb tune {CHILD} CHECKPOINT --out tuned.pth')
    return Suggestion('\n'.join(text) + '\n', loss, commands, tuple(reasons))


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
    return {'type': 'mmimb.CrossEntropyLoss', 'class_weight': weight}, reasons


def _heads(loss: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the lines of ``model = ...``, and what to do about heads that a child config cannot change in one line."""
    parts, left = [], []
    for path in ('decode_head', 'auxiliary_head'):
        head = model.get(path)
        old = head.get('loss_decode') if isinstance(head, Mapping) else None
        own = [key for key in head if key.startswith('loss_')] if isinstance(head, Mapping) and old is None else []
        if isinstance(head, (list, tuple)):
            left.append(f'`model.{path}` is a list: restate it in your config in full, with the loss {_call(loss)}.')
        elif isinstance(old, (list, tuple)):
            left.append(f'`model.{path}.loss_decode` is a list, which some heads count on: restate it in your config in full, '
                        f'with the loss {_call(loss)} in the place of those that learn the classes.')
        elif own:
            left.append(f'`model.{path}` computes losses of its own ({", ".join(own)}) and has no place for another.')
        elif isinstance(head, Mapping):
            factor = old.get('loss_weight', 1.0) if isinstance(old, Mapping) else 1.0
            values = {**loss, **({} if factor == 1 else {'loss_weight': factor})}
            call = _call(values, delete='loss_decode' in head)  # where there is nothing to delete, the key would stay
            parts.append(f'    {path}=dict(loss_decode={call})')
    return ['model = dict(\n' + ',\n'.join(parts) + ')'] if parts else [], left


def _call(values: Mapping[str, Any], *, delete: bool = False) -> str:
    """Return ``dict(...)`` with the report's path and the weights as the variables ``stats`` and ``weight``."""
    variables = {'stats': 'stats', 'class_weight': 'weight'}
    shown = [f'{key}={variables.get(key) or repr(value)}' for key, value in values.items()]
    return f'dict({", ".join(["_delete_=True"] * delete + shown)})'


def _split(cfg: Mapping[str, Any]) -> list[str]:
    """Return a sentence if the images to tune on are those that are reported, as in most configs of MMSegmentation."""
    val, test = ((cfg.get(f'{name}_dataloader') or {}).get('dataset') for name in ('val', 'test'))
    if val is None or val != test:
        return []
    return ['`val_dataloader` and `test_dataloader` hold the same images: tune on others (`--split`), or the scores that you '
            'report are too good.']


def _seldom(stats: ClassStats, found: Derived, crops: CropCounts | None) -> list[str]:
    """Return what can be done about classes that most batches lack; no rule, for the study has not confirmed it."""
    notes = []
    if found.rare_images:
        notes.append(f'{_occur(stats, found.rare_images)} in less than 5 % of the images (how many in brackets): if the IoU '
                     'stays at 0, show those images more often (mmimb.RepeatFactorSampler), for a loss cannot use what the '
                     'batch does not hold. The study has not confirmed that step.')
    if crops is not None:
        lost = [c for c in reversed(stats.order()) if stats.pixels[c] and c not in found.rare_images
                and crops.images[c] < RARE_IMAGES * crops.num_crops]
        if lost:
            names = _names(stats, [(c, f'{100 * crops.images[c] / crops.num_crops:.1f} %') for c in lost])
            notes.append(f'{names} {_verb(lost)} in less than 5 % of the crops (share in brackets), though in more of the '
                         'images: a crop around a rare class shows them more often (mmimb.RareClassCrop). The study has not '
                         'confirmed that step.')
    return notes


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
