"""What all sources of a measurement share."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from ...checks import number, whole_number
from ...heads import last_head
from .meter import DifficultyMeter

MOMENTUM = 0.5  # of few, exact measurements: with 0, weights and scores swing against each other (docs/difficulty.md)


class Source:
    """Where the difficulty of classes is measured, and when.

    ``ClassWeightHook`` calls :meth:`start` before training, :meth:`see` after each batch of the loop that the source is named
    after, :meth:`measure` when a measurement is due, and :meth:`stop` after training.

    Args:
        momentum: Share of the old scores in the new ones, in [0, 1).
        interval: Iterations between two measurements; :attr:`INTERVAL` where it is None.
        by_epoch: The interval counts epochs; it is then 1 where it is None.
    """

    name: str
    INTERVAL: int | None

    def __init__(self, momentum: float, interval: int | None = None, by_epoch: bool = False) -> None:
        every = 1 if by_epoch else self.INTERVAL
        self.interval = every if interval is None else whole_number('interval', interval, least=1)
        self.by_epoch = bool(by_epoch)
        self.momentum = number('momentum', momentum, least=0, below=1)

    def due(self, done: int, *, by_epoch: bool = False) -> bool:
        """Return whether to measure after ``done`` iterations or epochs."""
        return self.interval is not None and self.by_epoch is by_epoch and done % self.interval == 0

    def never(self, runner: Any) -> str:
        """Return a warning if training ends before the first measurement; otherwise nothing."""
        last, unit = (runner.max_epochs, 'epochs') if self.by_epoch else (runner.max_iters, 'iterations')
        if self.interval is None or self.interval <= last:
            return ''
        return (f'ClassWeightHook measures every {self.interval} {unit}, and the training has {last}: class weights stay at 1; '
                'lower its `interval`')

    def missed(self, runner: Any, measured: int) -> bool:
        """Return whether a resumed run must validate once more, as its last measurement after ``measured`` iterations says."""
        return False

    def start(self, runner: Any, model: nn.Module, meter: DifficultyMeter) -> None:
        """Check the run, so that nothing fails later, and get ready.

        Args:
            runner: At the start of training.
            model: Its segmentor, unwrapped.
            meter: Where the counts go.

        Raises:
            ValueError: The run does not fit the source.
        """
        if self.by_epoch and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError('`by_epoch` of ClassWeightHook must be False in an iteration-based loop, got True')
        self.head, self.meter = last_head(model), meter
        if self.head is None:
            raise ValueError(f'`model` must have a decode head for ClassWeightHook, got {type(model).__name__}')
        if warning := self.never(runner):
            runner.logger.warning(warning)
        self.ignore_index = getattr(self.head, 'ignore_index', 255)

    def see(self, samples: Iterable[Any]) -> None:
        """Count the predictions of data samples against their labels."""
        for sample in samples:
            pred = sample.pred_sem_seg.data.squeeze(0)
            self.meter.add(pred, sample.gt_sem_seg.data.squeeze(0).to(pred.device), self.ignore_index)

    def measure(self) -> None:
        """Complete the counts of the measurement that is due."""

    def stop(self) -> None:
        """Give back what :meth:`start` took."""
