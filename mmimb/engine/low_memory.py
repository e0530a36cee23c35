"""When validation and testing predict class maps without full-resolution logits."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.utils import is_method_overridden

from ..heads import ClassMaps, LossHead, last_head, unwrapped
from ..heads.class_maps import obstacle

SEEING = ('after_val_iter', 'after_test_iter', '_after_iter')  # what a hook is given predictions by
KNOWN = ('mmengine', 'mmseg', 'mmimb')  # packages whose metrics and hooks look at class maps alone


class LowMemoryHook(Hook):
    """Has the model predict class maps alone while it is validated and tested (see :class:`mmimb.heads.ClassMaps`).

    Args:
        wanted: True: any model, or an error. False: models whose last head is a ``LossHead``, and only where nothing can look
            for the scores: with ``LossHead(upsample='stock')``, averaged views, and metrics or hooks of other packages, mmseg's
            way stays.
    """

    priority = 'LOWEST'

    def __init__(self, wanted: bool = False) -> None:
        self.wanted = wanted
        self._maps: ClassMaps | None = None

    def before_val_epoch(self, runner: Any) -> None:
        self._enter(runner, runner.val_evaluator)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        self._leave()

    def before_test_epoch(self, runner: Any) -> None:
        self._enter(runner, runner.test_evaluator)

    def after_test_epoch(self, runner: Any, metrics: Any = None) -> None:
        self._leave()

    def _enter(self, runner: Any, evaluator: Any) -> None:
        model = unwrapped(runner.model)
        if self.wanted or not reason_for_scores(runner.model, [*evaluator.metrics, *runner.hooks]):
            self._maps = _checked(model)
            self._maps.__enter__()
            runner.logger.info('class maps are predicted without full-resolution logits')

    def _leave(self) -> None:
        if self._maps is not None:
            self._maps.__exit__()
            self._maps = None


def reason_for_scores(model: Any, viewers: list[Any]) -> str:
    """Return why a model that was not asked for class maps should predict scores as well; nothing if it need not.

    Args:
        model: A segmentor, wrapped or not.
        viewers: Metrics and hooks, which are given the predictions.
    """
    inner = model
    while inner is not unwrapped(model):
        if isinstance(inner, BaseTTAModel):
            return 'the views of an image are averaged'
        inner = inner.module
    head = last_head(inner)
    if not isinstance(head, LossHead) or head.upsample == 'stock':
        return 'its head is no LossHead that up-samples in another way than mmseg'
    for viewer in viewers:
        sees = not isinstance(viewer, Hook) or any(is_method_overridden(name, Hook, viewer) for name in SEEING)
        if sees and type(viewer).__module__.split('.')[0] not in KNOWN:
            return f'{type(viewer).__name__} may look at them'
        if getattr(viewer, 'needs_scores', False):
            return f'{type(viewer).__name__} looks at them'
    return obstacle(inner)


def _checked(model: Any) -> ClassMaps:
    try:
        return ClassMaps(model)
    except ValueError as error:
        raise ValueError(f'`--low-memory` must meet a model of which mmseg up-samples the logits; drop it: {error}') from error
