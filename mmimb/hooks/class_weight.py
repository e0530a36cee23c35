"""Class weights during training: told the iteration, and logged."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ..registry import HOOKS
from ..weights import ClassWeight, Deferred


@HOOKS.register_module()
class ClassWeightHook(Hook):
    """Steps the class weights that change with the iteration (``Deferred``), and logs every class weight.

    The weights go to the log as one line per loss, and to the visualizer as ``class_weight/<loss>/<class>``, when training
    starts and whenever they change. ``tools/train.py`` adds the hook to every run.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self._deferred: list[tuple[str, Deferred]] = []

    def before_train(self, runner: Any) -> None:
        self._deferred = [(path, weight) for path, weight in _class_weights(runner.model) if isinstance(weight, Deferred)]
        self._step(runner)
        for path, weight in _class_weights(runner.model):
            self._log(runner, path, weight)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for path, weight in self._step(runner):
            self._log(runner, path, weight)

    def _step(self, runner: Any) -> list[tuple[str, Deferred]]:
        return [(path, weight) for path, weight in self._deferred if weight.step(runner.iter, runner.max_iters)]

    def _log(self, runner: Any, path: str, weight: ClassWeight) -> None:
        weight.prepare()
        values = weight.weight.tolist()
        classes = (getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}).get('classes') or ()
        names = classes if len(classes) == len(values) else [str(c) for c in range(len(values))]
        shown = ', '.join(f'{name} {value:.3g}' for name, value in zip(names, values, strict=True))
        runner.logger.info(f'Class weights of {path} from iteration {runner.iter}: {shown}')
        scalars = {f'class_weight/{path}/{name}': value for name, value in zip(names, values, strict=True)}
        runner.visualizer.add_scalars(scalars, step=runner.iter)


def _class_weights(model: Any) -> Iterator[tuple[str, ClassWeight]]:
    """The weights that losses use, by the name of the loss; not those inside another scheme."""
    model = model.module if is_model_wrapper(model) else model
    for name, module in model.named_modules():
        if name.endswith('class_weight') and isinstance(module, ClassWeight):
            yield name.removesuffix('.class_weight'), module
