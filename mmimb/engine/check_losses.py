"""Building the losses of a config once, so that a wrong one is refused before a run writes anything."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..loss_places import loss_places
from .errors import EXPECTED, describe

BUILT = ('mmimb', 'mmseg')  # building their losses has no side effects; that of others may, for example, load a network


def check_losses(cfg: Any) -> None:
    """Build every loss of the heads of ``cfg`` once, as its head will, and forget it.

    Losses of other packages than mmimb and mmseg are only looked up.

    Raises:
        ValueError, TypeError, OSError, ImportError: A loss is unknown or refuses its arguments, or an OHEM sampler ranks
            pixels by a loss that has no value per pixel. The message begins with the place in the config.
    """
    losses = [one for one in loss_places(cfg.get('model')) if one.loss is not None]
    if not losses:
        return
    from mmengine.registry import init_default_scope
    from mmseg.utils import register_all_modules

    from .. import registry  # noqa: F401  (registers the scope)
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    for one in losses:
        try:
            _check_ranking(_build(one.loss), one.at.head.get('sampler'))
        except Exception as error:  # a loss may raise anything for arguments that it does not expect
            kind = next((kind for kind in EXPECTED if isinstance(error, kind)), ValueError)
            raise kind(f'{one.place}: {describe(error)}') from error


def _build(loss: Any) -> Any:
    from mmseg.registry import MODELS
    kind = loss.get('type') if isinstance(loss, Mapping) else None
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(loss.get('_scope_')) as current:
            kind = current.get(kind)
    if kind is not None and str(getattr(kind, '__module__', '')).split('.')[0] not in BUILT:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the head builds the loss again and warns then
        return MODELS.build(loss)


def _check_ranking(loss: Any, sampler: Any) -> None:
    """Refuse a loss of mmimb without a value per pixel under an OHEM sampler, which ranks pixels by it."""
    if not isinstance(sampler, Mapping) or sampler.get('thresh') is not None or not hasattr(loss, 'checked_reduction'):
        return
    kind = sampler.get('type')
    if (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).split('.')[-1] != 'OHEMPixelSampler':
        return
    try:
        loss.checked_reduction('none')
    except ValueError as error:
        raise ValueError(f'`sampler` must have a `thresh` beside {type(loss).__name__} (the loss has no value per pixel to '
                         f'rank pixels by), got {dict(sampler)!r}') from error
