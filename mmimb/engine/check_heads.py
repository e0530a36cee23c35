"""Whether the heads of a config can be built here, and whether each of their losses is of the kind that its head calls."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..loss_places import DEPTH, FIXED, NESTED, OF_KEY, OTHER, QUERIES, HeadPlace, LossPlace, heads, loss_places, missing_parts

QUERY_LOSS = 'mmimb.QueryCrossEntropyLoss'
NOT_OURS = (DEPTH, *OF_KEY.values())  # what no loss of mmimb can learn


def check_parts(cfg: Any) -> None:
    """Refuse a model with a head whose compiled operators or package are not here.

    Raises:
        ImportError: The message names the head, what is missing, and another head.
    """
    missing = missing_parts(cfg.get('model'))
    if missing:
        raise ImportError(missing[0])


def check_heads(cfg: Any) -> None:
    """Refuse what would end a training at its first iteration, or leave it without the loss that was meant.

    Raises:
        ImportError: As for :func:`check_parts`.
        ValueError: A head has no such loss, wants a list of so many, or learns something that the loss does not; weights of
            queries are not one for each class and one for no object.
    """
    check_parts(cfg)
    for at in heads(cfg.get('model')):
        _check_decode(at)
    for one in loss_places(cfg.get('model')):
        _check_kind(one)
        if one.learns == QUERIES:
            _check_weights(one)


def _check_decode(at: HeadPlace) -> None:
    losses = at.head.get('loss_decode')
    if losses is None:
        return
    place = f'`{at.place}.loss_decode`'
    if at.of_queries:
        raise ValueError(f'{place} must not be given to {at.name}, which has loss_cls for the classes of its queries (take '
                         f'{QUERY_LOSS}, docs/heads.md), got {_type(losses)}')
    if NESTED in at.head:
        raise ValueError(f'{place} must be given inside {NESTED} of {at.name}, whose losses serve all iterations, got '
                         f'{_type(losses)}')
    number = next((FIXED[name] for name in at.names if name in FIXED), None)
    if number is not None and (not isinstance(losses, (list, tuple)) or len(losses) != number):
        raise ValueError(f'{place} must be a list of {number} losses for {at.name}, restated in full as `mmimb scan` '
                         f'prints it, got {_type(losses)}')


def _check_kind(one: LossPlace) -> None:
    kind = _type(one.loss)
    if not kind.startswith("'mmimb."):
        return
    if one.learns == OTHER and one.reason in NOT_OURS:
        raise ValueError(f'`{one.place}` must be a loss that {one.at.name} can learn from ({one.reason}; class weights have no '
                         f'meaning there: keep the loss of the base), got {kind}')
    if (kind == repr(QUERY_LOSS)) != (one.learns == QUERIES):
        rule = QUERY_LOSS if one.learns == QUERIES else f'a loss on pixels for {one.at.name}'
        raise ValueError(f'`{one.place}` must be {rule}, got {kind}')


def _check_weights(one: LossPlace) -> None:
    weights = one.loss.get('class_weight') if isinstance(one.loss, Mapping) else None
    classes = one.at.head.get('num_classes')
    if isinstance(weights, (list, tuple)) and isinstance(classes, int) and len(weights) != classes + 1:
        raise ValueError(f'`{one.place}.class_weight` must have {classes + 1} numbers for {one.at.name}, one per class and one '
                         f'for no object, got {len(weights)}')


def _type(losses: Any) -> str:
    """Return ``repr`` of the type of a loss, or the number of losses."""
    if isinstance(losses, (list, tuple)):
        return f'a list of {len(losses)}'
    kind = losses.get('type') if isinstance(losses, Mapping) else None
    if isinstance(kind, type) and kind.__module__.split('.')[0] == 'mmimb':
        return repr(f'mmimb.{kind.__name__}')
    return repr(kind if isinstance(kind, str) else getattr(kind, '__name__', kind))
