"""Class weights during training: told the iteration, given the difficulty of the classes, and logged."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ..registry import HOOKS
from ..scan.sources import dataset_classes
from ..weights import ClassWeight, Deferred
from .difficulty import build_source
from .difficulty.sampler import check_stream
from .difficulty.tracker import CHECKPOINT_KEY, DifficultyTracker, wants_difficulty


@HOOKS.register_module()
class ClassWeightHook(Hook):
    """Steps the class weights that change with the iteration (``Deferred``), measures what ``DifficultyBalanced`` weights
    and ``DifficultySampler`` follow, and logs every class weight. ``mmimb train`` adds the hook to every run.

    Weights go to the log, to the visualizer as ``class_weight/<loss>/<class>`` and, with ``difficulty/<loss>/<class>`` and
    ``tau/<loss>``, after every measurement to ``class_weights.csv`` in the run's log folder; at the end of training
    ``class_weights.png`` there shows them over time.

    Measurements count pixels per class in int64 and are added up over ranks, so that the weights are the same on any number
    of them. They are part of the checkpoint; a resumed run has the weights of one that was never interrupted.

    Args:
        source: What is measured. ``'train'`` (also what None stands for): every ``stride``-th row and column of the training
            batches, as the last decode head sees them, in training mode and with augmentation (a cheap deviation from the
            paper); scores are averaged over time. ``'holdout'``: a split of its own, held out from training, as in the
            paper (2010.01824). ``'val'``: the validation, which is then no honest test any more; a warning says so.
        interval: Iterations between measurements: 100 for ``'train'``, 1000 for ``'holdout'``. ``'val'`` measures at every
            validation.
        by_epoch: The interval counts epochs; 1 by default.
        dataloader: Of the holdout: ``dict(dataset=...)``, with the labels in the pipeline. Other settings are those of
            ``val_dataloader`` unless given.
        momentum: Share of the old scores in the new ones: 0.9 for ``'train'``, otherwise 0.5. 0 is the paper's: the latest
            measurement only, after which weights and scores may swing against each other.
        stride: For ``'train'``: 4 by default, 1 looks at every pixel.
        allow_missing: Accept a holdout without a single pixel of some class, which then keeps its first difficulty.

    Raises:
        ValueError, TypeError: At the start of training: nothing in the model or the sampler uses a measurement that the
            arguments ask for, another hook measures too, the holdout overlaps the training split or lacks a class, a
            resumed checkpoint is of another class list.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, source: str | None = None, interval: int | None = None, *, by_epoch: bool = False,
                 dataloader: Mapping[str, Any] | None = None, momentum: float | None = None, stride: int | None = None,
                 allow_missing: bool = False) -> None:
        settings = {'interval': interval, 'by_epoch': by_epoch or None, 'dataloader': dataloader, 'momentum': momentum,
                    'stride': stride, 'allow_missing': allow_missing or None}
        given = {name: value for name, value in settings.items() if value is not None}
        self.source = build_source(source, **given)
        self._asked = ({} if source is None else {'source': source}) | given  # with any of it, the user counts on a measurement
        self._deferred: list[tuple[str, Deferred]] = []
        self._tracker: DifficultyTracker | None = None
        self._loaded: Mapping[str, Any] | None = None

    def measures(self, runner: Any) -> bool:
        """Return whether this hook measures in the run."""
        return bool(self._asked) or wants_difficulty(_unwrapped(runner.model), runner.train_dataloader)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what a checkpoint has for the start of training, if it is resumed then."""
        self._loaded = checkpoint.get(CHECKPOINT_KEY)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the state of the measurements into the checkpoint."""
        if self._tracker is not None:
            checkpoint[CHECKPOINT_KEY] = self._tracker.state_dict(checkpoint['meta']['iter'])

    def before_train(self, runner: Any) -> None:
        """Check and prepare everything, so that nothing fails later."""
        check_stream(runner.train_dataloader, runner.train_loop)
        weights = dict(_class_weights(_unwrapped(runner.model)))
        self._deferred = [(path, weight) for path, weight in weights.items() if isinstance(weight, Deferred)]
        if self.measures(runner):
            self._start(runner)
        self._step(runner)
        for path, weight in weights.items():
            self._log(runner, path, weight)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for path, weight in self._step(runner):
            self._log(runner, path, weight)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self._tracker is None:
            return
        self._tracker.done = runner.iter + 1
        if self.source.name == 'train':
            self.source.see(outputs)
        if self.source.due(runner.iter + 1):
            self._measure(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Any) -> None:
        if self.source.due(runner.epoch + 1, by_epoch=True):
            self._measure(runner, runner.iter)

    def before_train_epoch(self, runner: Any) -> None:
        """Make up for the validation that an interrupted run did after it had saved its checkpoint."""
        if self._tracker is not None and self.source.missed(runner, self._tracker.measured):
            runner.logger.info('Validating once more: the checkpoint was saved before its validation gave class weights')
            runner.val_loop.run()

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self._tracker is not None and self.source.name == 'val':
            self.source.see(outputs)

    def after_val(self, runner: Any) -> None:
        if self.source.name == 'val':  # not before ``EMAHook`` has put the model's own buffers back
            self._measure(runner, runner.iter)

    def after_train(self, runner: Any) -> None:
        """Stop looking, and draw what was measured."""
        if self._tracker is None:
            return
        self.source.stop()
        if (path := self._tracker.log.draw()) is not None:
            runner.logger.info(f'Difficulty and weight of every class over time: {path}')
        self._tracker = None

    def _start(self, runner: Any) -> None:
        model, loader = _unwrapped(runner.model), runner.train_dataloader
        if not wants_difficulty(model, loader):
            given = ', '.join(f'{name}={value!r}' for name, value in self._asked.items() if name != 'dataloader')
            raise ValueError('`ClassWeightHook` must have no settings of a measurement where nothing uses it (no class_weight='
                             f"dict(type='mmimb.DifficultyBalanced') in a loss, no mmimb.DifficultySampler), got {given}")
        others = [hook for hook in runner.hooks if isinstance(hook, ClassWeightHook) and hook.measures(runner)]
        if len(others) > 1:
            raise ValueError(f'`custom_hooks` must have one ClassWeightHook that measures difficulty, got {len(others)}')
        self._tracker = DifficultyTracker(model, loader, self.source, folder=runner.log_dir)
        self.source.start(runner, model, self._tracker.meter)
        self._tracker.restore(runner, self._loaded)

    def _measure(self, runner: Any, iteration: int) -> None:
        if self._tracker is not None:
            self.source.measure()
            self._tracker.update(runner, iteration)

    def _step(self, runner: Any) -> list[tuple[str, Deferred]]:
        return [(path, weight) for path, weight in self._deferred if weight.step(runner.iter, runner.max_iters)]

    def _log(self, runner: Any, path: str, weight: ClassWeight) -> None:
        weight.prepare()
        values = weight.weight.tolist()
        classes = dataset_classes(runner.train_dataloader.dataset) or ()
        names = classes if len(classes) == len(values) else [str(c) for c in range(len(values))]
        named = dict(zip(names, values, strict=True))
        shown = ', '.join(f'{name} {value:.3g}' for name, value in named.items())
        runner.logger.info(f'Class weights of {path} from iteration {runner.iter}: {shown}')
        scalars = {f'class_weight/{path}/{name}': value for name, value in named.items()}
        runner.visualizer.add_scalars(scalars, step=runner.iter)


def _unwrapped(model: Any) -> Any:
    return model.module if is_model_wrapper(model) else model


def _class_weights(model: Any) -> list[tuple[str, ClassWeight]]:
    """The weights that losses use, by the name of the loss; not those inside another scheme."""
    return [(name.removesuffix('.class_weight'), module) for name, module in model.named_modules()
            if name.endswith('class_weight') and isinstance(module, ClassWeight)]
