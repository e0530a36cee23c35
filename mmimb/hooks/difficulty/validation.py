"""Difficulty from the validation of the run."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from ...padding import is_padding
from .meter import DifficultyMeter
from .source import MOMENTUM, Source


class ValidationSource(Source):
    """Measures on every validation, without what the sampler adds to give all ranks equally many samples.

    Args:
        momentum: See :class:`Source`.
    """

    name = 'val'
    INTERVAL = None  # at every validation

    def __init__(self, momentum: float = MOMENTUM) -> None:
        super().__init__(momentum)
        self._seen = 0  # samples that this rank got in the validation that is going on

    def start(self, runner: Any, model: nn.Module, meter: DifficultyMeter) -> None:
        super().start(runner, model, meter)
        if runner.val_loop is None:
            raise ValueError("`val_dataloader` must be given for source='val' of ClassWeightHook, got None")
        runner.logger.warning("ClassWeightHook(source='val') chooses class weights on the validation split: its scores are no "
                              'longer those of unseen data; hold images out for this, or report another split')
        self._size = len(runner.val_loop.dataloader.dataset)

    def see(self, samples: Iterable[Any]) -> None:
        for sample in samples:
            if not is_padding(self._seen, self._size):
                super().see([sample])
            self._seen += 1

    def measure(self) -> None:
        self._seen = 0

    def missed(self, runner: Any, measured: int) -> bool:
        """Return whether the checkpoint was saved just before a validation: stacks save first and validate then.

        Args:
            runner: At the start of training.
            measured: Iterations that were done at the last measurement in the checkpoint.
        """
        loop = runner.train_loop
        loop._decide_current_val_interval()  # else that of the beginning, under `dynamic_intervals`
        done = loop.epoch if isinstance(loop, EpochBasedTrainLoop) else loop.iter
        return 0 < done >= loop.val_begin and done % loop.val_interval == 0 and measured < runner.iter
