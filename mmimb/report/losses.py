"""Which losses of a model a suggested config changes, and into what."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..loss_places import OTHER, QUERIES, LossPlace, loss_places, tunable
from ..stats import ClassStats
from ..weights import weights_of_queries
from .override import Keys, Variable

REGION = ('DiceLoss', 'TverskyLoss', 'LovaszLoss', 'HuasdorffDisstanceLoss')
OHEM = ('OhemCrossEntropy', 'OhemCrossEntropyLoss')
OF_OHEM = {'thres': 'thresh', 'thresh': 'thresh', 'min_kept': 'min_kept'}  # arguments of mmseg's and of ours
DIGITS = 4


@dataclass
class LossChanges:
    """What a child config changes in the losses of its base.

    Args:
        changes: New losses by the way to them from the model; the text defines the variables in them.
        left: What stays, with its reason: a line for each.
        notes: What else the user should know.
        query_weights: The C + 1 numbers behind the variable ``query_weights``; empty without a loss on queries.
        on_pixels: Whether a loss on pixels changes.
        tunable: Whether offsets can be tuned afterwards.
    """

    changes: dict[Keys, Mapping[str, Any]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    query_weights: list[float] = field(default_factory=list)
    on_pixels: bool = False
    tunable: bool = True

    @property
    def nothing(self) -> str:
        """Why nothing changes."""
        return '; '.join(self.left) or 'the config has no model with heads'


def changed_losses(loss: Mapping[str, Any], stats: ClassStats, model: Mapping[str, Any]) -> LossChanges:
    """Return what a child config changes so that every loss which learns the classes of pixels or queries is ours.

    Args:
        loss: The chosen loss on pixels.
        stats: The counts.
        model: The config of the base.
    """
    found = LossChanges(tunable=tunable(model))
    places = [*loss_places(model)]
    for one in places:
        reason = _reason(one, places, stats)
        if reason:
            found.left.append(f'{one.place} ({one.name or "a default"}): {reason}')
        elif one.learns == QUERIES:
            found.query_weights = _query_weights(loss, stats)
            found.changes[one.keys] = _query_loss(one, loss)
        else:
            found.on_pixels = True
            found.changes[one.keys] = _pixel_loss(one, loss)
    if found.query_weights:
        weights = found.query_weights[:-1]
        found.notes.append('The classes of queries are weighted by the numbers of images that hold them, not by pixels; the '
                           f'weights differ by a factor of {max(weights) / min(weights):.1f}. What was measured of it is in '
                           'docs/heads.md.')
    if found.on_pixels and not found.tunable:
        found.notes.append('Offsets cannot be tuned for this head (docs/offsets.md says for which they can).')
    return found


def _reason(one: LossPlace, places: Sequence[LossPlace], stats: ClassStats) -> str:
    """Return why a loss stays as it is; nothing if it changes."""
    classes = one.at.head.get('num_classes')
    if one.learns == OTHER:
        return one.reason
    if classes not in (None, 1, stats.num_classes):
        return f'its head has {classes} classes and the dataset {stats.num_classes}'
    if one.learns == QUERIES:
        return '' if stats.images is not None else 'its weights need numbers of images, and there are pixel counts alone'
    beside = [other for other in places if other.at.keys == one.at.keys and other.learns == one.learns]
    if one.name in REGION and any(other.name not in REGION for other in beside):
        return 'it compares areas, beside the loss that changes'
    return ''


def _pixel_loss(one: LossPlace, loss: Mapping[str, Any]) -> dict[str, Any]:
    old = one.loss if isinstance(one.loss, Mapping) else {}
    new = dict(loss)
    if 1 in (one.at.head.get('out_channels'), one.at.head.get('num_classes')):  # one channel needs a sigmoid
        new['type'] = 'mmimb.BinaryCrossEntropyLoss'
    elif one.name in OHEM:
        new['type'] = 'mmimb.OhemCrossEntropyLoss'
        new |= {ours: old[key] for key, ours in OF_OHEM.items() if key in old}
    return {**new, **_kept(old)}


def _query_loss(one: LossPlace, loss: Mapping[str, Any]) -> dict[str, Any]:
    even = {} if 'class_weight' in loss else {'max_ratio': 1.0}
    new = {'type': 'mmimb.QueryCrossEntropyLoss', 'stats': Variable('stats'), **even, 'class_weight': Variable('query_weights')}
    return {**new, **_kept(one.loss if isinstance(one.loss, Mapping) else {})}


def _query_weights(loss: Mapping[str, Any], stats: ClassStats) -> list[float]:
    weights = weights_of_queries(stats, *([] if 'class_weight' in loss else [1.0]))
    return [round(weight, DIGITS) for weight in weights]


def _kept(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the old loss that stay."""
    factor = old.get('loss_weight', 1.0)
    return {**({} if factor == 1 else {'loss_weight': factor}),
            **({'loss_name': old['loss_name']} if old.get('loss_name') else {})}
