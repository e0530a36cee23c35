"""Class weights during training: told the iteration, given the difficulty of the classes, and logged."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.hooks import RemovableHandle

from ..heads import head_losses, last_head
from ..registry import HOOKS
from ..stats.checks import number, whole_number
from ..weights import ClassWeight, Deferred
from .difficulty_holdout import build_holdout, measure_holdout
from .difficulty_sources import SOURCES, ValidationCounter, validation_is_missing, watch_training
from .difficulty_tracker import CHECKPOINT_KEY, DifficultyTracker, wants_difficulty

INTERVALS = {'train': 100, 'holdout': 1000}
TRAIN_MOMENTUM = 0.9


@HOOKS.register_module()
class ClassWeightHook(Hook):
    """Steps the class weights that change with the iteration (``Deferred``), measures what ``DifficultyBalanced`` weights
    and ``DifficultySampler`` follow, and logs every class weight. ``tools/train.py`` adds the hook to every run.

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
        interval: Iterations, or epochs, between measurements: 100 for ``'train'``, 1000 for ``'holdout'``. ``'val'``
            measures at every validation.
        by_epoch: The interval counts epochs.
        dataloader: Of the holdout: ``dict(dataset=...)``, with the labels in the pipeline. Other settings are those of
            ``val_dataloader`` unless given.
        momentum: Share of the old scores in the new ones: 0.9 for ``'train'``, otherwise 0, the latest measurement only.
        stride: For ``'train'``; 1 looks at every pixel.
        allow_missing: Accept a holdout without a single pixel of some class, which then keeps its first difficulty.

    Raises:
        ValueError, TypeError: At the start of training: nothing in the model or the sampler uses a measurement that the
            arguments ask for, another hook measures too, the holdout overlaps the training split or lacks a class, a
            resumed checkpoint is of another class list.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, source: str | None = None, interval: int | None = None, *, by_epoch: bool = False,
                 dataloader: Mapping[str, Any] | None = None, momentum: float | None = None, stride: int = 4,
                 allow_missing: bool = False) -> None:
        if source is not None and source not in SOURCES:
            raise ValueError(f'`source` must be one of {SOURCES}, got {source!r}')
        if (source == 'holdout') != (dataloader is not None):
            raise ValueError("`dataloader` must be given for source='holdout', as dict(dataset=...), and only then, "
                             f'got {dataloader!r} for source={source!r}')
        if interval is not None and source == 'val':
            raise ValueError(f"`interval` must be None for source='val' (every validation), got {interval!r}")
        asked = {'interval': interval, 'momentum': momentum, 'by_epoch': by_epoch or None}
        self.demanded = source is not None or any(value is not None for value in asked.values())
        self.source = source or 'train'
        self.interval = whole_number('interval', INTERVALS.get(self.source, 1) if interval is None else interval, least=1)
        self.by_epoch = bool(by_epoch)
        self.dataloader = dataloader
        self.momentum = number('momentum', (TRAIN_MOMENTUM if self.source == 'train' else 0) if momentum is None else momentum,
                               least=0, below=1)
        self.stride = whole_number('stride', stride, least=1)
        self.allow_missing = bool(allow_missing)
        self._deferred: list[tuple[str, Deferred]] = []
        self._tracker: DifficultyTracker | None = None
        self._loaded: Mapping[str, Any] | None = None
        self._watch: RemovableHandle | None = None
        self._validation: ValidationCounter | None = None
        self._holdout: Any = None

    def measures(self, runner: Any) -> bool:
        """Return whether this hook measures in the run."""
        return self.demanded or wants_difficulty(_unwrapped(runner.model), runner.train_dataloader)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what a checkpoint has for the start of training, if it is resumed then."""
        self._loaded = checkpoint.get(CHECKPOINT_KEY)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the state of the measurements into the checkpoint."""
        if self._tracker is not None:
            checkpoint[CHECKPOINT_KEY] = self._tracker.state_dict()

    def before_train(self, runner: Any) -> None:
        """Check and prepare everything, so that nothing fails later."""
        weights = dict(_class_weights(_unwrapped(runner.model)))
        self._deferred = [(path, weight) for path, weight in weights.items() if isinstance(weight, Deferred)]
        if self.measures(runner):
            self._prepare(runner)
        self._step(runner)
        for path, weight in weights.items():
            self._log(runner, path, weight)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for path, weight in self._step(runner):
            self._log(runner, path, weight)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self._tracker is None:
            return
        if self.source != 'val' and not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._measure(runner, runner.iter + 1)
        elif self.is_last_train_iter(runner) or any(_saves_now(hook, runner) for hook in runner.hooks):
            self._tracker.meter.gather()

    def after_train_epoch(self, runner: Any) -> None:
        if self._tracker is None:
            return
        if self.source != 'val' and self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._measure(runner, runner.iter)
        else:
            self._tracker.meter.gather()

    def before_train_epoch(self, runner: Any) -> None:
        """Make up for the validation that an interrupted run did after it had saved its checkpoint."""
        if self._tracker is not None and self.source == 'val' and validation_is_missing(runner, self._tracker.measured):
            runner.logger.info('Validating once more: the checkpoint was saved before its validation gave class weights')
            runner.val_loop.run()
            runner.model.train()

    def before_val_epoch(self, runner: Any) -> None:
        if self._validation is not None:
            self._validation.start()

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self._validation is not None and outputs is not None:
            self._validation.add(outputs)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        if self._validation is not None:
            self._measure(runner, runner.iter)
        elif self._tracker is not None:
            self._tracker.meter.gather()  # a best checkpoint may be saved now

    def before_preemption(self, runner: Any) -> None:
        """Get ready for the checkpoint of ``PreemptionHook``, on all ranks."""
        if self._tracker is not None:
            self._tracker.meter.gather()

    def after_train(self, runner: Any) -> None:
        """Stop looking, and draw what was measured."""
        if self._watch is not None:
            self._watch.remove()
        if self._tracker is not None and (path := self._tracker.log.draw()) is not None:
            runner.logger.info(f'Difficulty and weight of every class over time: {path}')
        self._tracker = self._validation = self._watch = self._holdout = None

    def _prepare(self, runner: Any) -> None:
        model, loader = _unwrapped(runner.model), runner.train_dataloader
        if not wants_difficulty(model, loader):
            raise ValueError("`source` of ClassWeightHook must be None where nothing uses it (no class_weight=dict(type="
                             f"'mmimb.DifficultyBalanced') in a loss, no mmimb.DifficultySampler), got {self.source!r}")
        others = [hook for hook in runner.hooks if isinstance(hook, ClassWeightHook) and hook.measures(runner)]
        if len(others) > 1:
            raise ValueError(f'`custom_hooks` must have one ClassWeightHook that measures difficulty, got {len(others)}')
        if self.by_epoch and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError('`by_epoch` of ClassWeightHook must be False in an iteration-based loop, got True')
        head = last_head(model)
        losses = [] if head is None else head_losses(head)
        if not losses:
            raise ValueError(f'`model` must have a decode head with losses for ClassWeightHook, got {type(model).__name__}')
        self._tracker = DifficultyTracker(model, loader, folder=runner.log_dir, momentum=self.momentum)
        self._tracker.restore(runner, self._loaded)
        if self.source == 'train':
            self._watch = watch_training(losses[0], head, self._tracker.meter, stride=self.stride)
        elif self.source == 'holdout':
            self._holdout = build_holdout(runner, self.dataloader or {}, allow_missing=self.allow_missing,
                                          ignore_index=head.ignore_index)
        else:
            self._validation = ValidationCounter(runner, self._tracker.meter, head.ignore_index)

    def _measure(self, runner: Any, iteration: int) -> None:
        if self._tracker is None:
            return
        if self._holdout is not None:
            measure_holdout(runner.model, self._holdout, self._tracker.meter,
                            ignore_index=last_head(_unwrapped(runner.model)).ignore_index)
        self._tracker.update(runner, iteration, self.source)

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


def _unwrapped(model: Any) -> Any:
    return model.module if is_model_wrapper(model) else model


def _class_weights(model: Any) -> list[tuple[str, ClassWeight]]:
    """The weights that losses use, by the name of the loss; not those inside another scheme."""
    return [(name.removesuffix('.class_weight'), module) for name, module in model.named_modules()
            if name.endswith('class_weight') and isinstance(module, ClassWeight)]


def _saves_now(hook: Any, runner: Any) -> bool:
    """Return whether a hook saves a checkpoint after this iteration."""
    return isinstance(hook, CheckpointHook) and not hook.by_epoch and hook.every_n_train_iters(
        runner, hook.interval, hook.save_begin)
