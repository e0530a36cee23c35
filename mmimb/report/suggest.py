"""A config to start from, chosen from the statistics by the rules in docs/scanning.md, with its reasons."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..scan.findings import ERROR, FINDINGS
from ..stats import ClassStats
from ..stats.imbalance import Derived, class_labels, derive

MILD, STRONG = 20, 100  # imbalance ratios
NAMED = 4
EVALUATORS = ('val_evaluator', 'test_evaluator')
SAMPLER = 'RepeatFactorSampler'
USUAL: Mapping[str, Any] = {  # assumed of a base config that is not known
    'model': {'decode_head': {'loss_decode': {}}}, 'train_dataloader': {'sampler': {}},
    'val_evaluator': {}, 'test_evaluator': {}}


@dataclass(frozen=True)
class Suggestion:
    """A child config and why.

    Args:
        config: Its text, which names its base and the report.
        loss: The suggested ``loss_decode`` with ``stats`` as a path.
        reasons: Sentences on what was chosen, then on what no setting can mend.
    """

    config: str
    loss: Mapping[str, Any]
    reasons: tuple[str, ...]


def suggest(stats: ClassStats, base: str = 'my_config.py', report: str = 'data/my/stats.json', *,
            cfg: Mapping[str, Any] | None = None) -> Suggestion:
    """Choose loss, weights and sampler.

    Args:
        stats: The counts.
        base: The config to build on, as the new one names it.
        report: Where the scanner's report lies, as training will open it.
        cfg: The base itself, whose heads get the loss; without, one head and training by iterations are taken for granted.
    """
    cfg = USUAL if cfg is None else cfg
    found = derive(stats)
    loss, reason = _loss(found, report)
    reasons = [reason]
    lines, left = _heads(loss, cfg.get('model') or {})
    reasons += left
    sampler = []
    if found.rare_images:
        sampler = [f'train_dataloader = dict(sampler={_sampler(cfg)})']
        reasons.append(f'{_occur(stats, found.rare_images)} in less than 5 % of the images (how many in brackets): the '
                       'sampler shows those images more often, for a loss cannot use what the batch does not hold.')
    reasons += _limits(stats, found)
    weight = loss.get('class_weight')
    text = [f'_base_ = {base!r}', f'stats = {report!r}', *([f'weight = {_call(weight)}'] if weight else []), *lines, *sampler,
            *(f"{key} = dict(_delete_=True, type='mmimb.LongTailIoUMetric', stats=stats)" for key in EVALUATORS if cfg.get(key)
              is not None)]
    return Suggestion('\n'.join(text) + '\n', loss, tuple(reasons))


def fix_first(audit: Mapping[str, Any]) -> list[str]:
    """Return a line for every kind of error in the findings of a scan: no setting mends them."""
    return [f'{entry["total"]:,} {FINDINGS[name].title if name in FINDINGS else name} ({name})'
            for name, entry in audit.items() if entry['severity'] == ERROR]


def _loss(found: Derived, report: str) -> tuple[dict[str, Any], str]:
    ratio = f'The imbalance ratio is {found.ratio:,.0f} : 1'
    if found.ratio < MILD:
        return {'type': 'mmimb.CrossEntropyLoss'}, (
            f'{ratio}, below {MILD}: plain cross-entropy is enough, and weights would cost precision on frequent classes.')
    if found.ratio < STRONG:
        weight = {'type': 'mmimb.InverseFrequency', 'stats': report, 'power': 0.5}
        return {'type': 'mmimb.CrossEntropyLoss', 'class_weight': weight}, (
            f'{ratio}, between {MILD} and {STRONG}: the root of the inverse frequency gives weights that differ by a '
            f'factor of {found.ratio ** 0.5:.0f}, enough to matter and too little to make training noisy.')
    return {'type': 'mmimb.LogitAdjustmentLoss', 'stats': report}, (
        f'{ratio}, at least {STRONG}: weights that far apart multiply label noise and make training unsteady; logit adjustment '
        'moves the decision towards rare classes by an offset instead.')


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
    names = [class_labels(stats)[c] + (f' ({stats.images[c]})' if stats.images and stats.images[c] else '') for c in members]
    more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return f'{", ".join(names[:NAMED])}{more} {adverb}{"occur" if len(names) > 1 else "occurs"}'


def _sampler(cfg: Mapping[str, Any]) -> str:
    loop = cfg.get('train_cfg') or {}
    epochs = loop.get('by_epoch') or 'Epoch' in str(loop.get('type', ''))
    values = {'type': f'mmimb.{SAMPLER}', 'stats': None, **({'infinite': False} if epochs else {})}
    return _call(values, delete='sampler' in (cfg.get('train_dataloader') or {}))
