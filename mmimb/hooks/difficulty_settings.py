"""The arguments of ``ClassWeightHook`` that say what is measured, checked."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import number, whole_number

SOURCES = ('train', 'holdout', 'val')
INTERVALS = {'train': 100, 'holdout': 1000}
TRAIN_MOMENTUM = 0.9
STRIDE = 4


class DifficultySettings:
    """What, when and how to measure; the arguments and errors are those of ``ClassWeightHook``.

    ``asked`` holds those that were given: with any of them, the user counts on a measurement.
    """

    def __init__(self, source: str | None, interval: int | None, *, by_epoch: bool, dataloader: Mapping[str, Any] | None,
                 momentum: float | None, stride: int | None, allow_missing: bool) -> None:
        if source is not None and source not in SOURCES:
            raise ValueError(f'`source` must be one of {SOURCES}, got {source!r}')
        if (source == 'holdout') != (dataloader is not None):
            raise ValueError("`dataloader` must be given for source='holdout', as dict(dataset=...), and only then, "
                             f'got {dataloader!r} for source={source!r}')
        if interval is not None and source == 'val':
            raise ValueError(f"`interval` must be None for source='val' (every validation), got {interval!r}")
        if by_epoch and source == 'val':
            raise ValueError(f"`by_epoch` must be False for source='val' (every validation), got {by_epoch!r}")
        if stride is not None and source not in (None, 'train'):
            raise ValueError(f"`stride` must be None unless source='train', got {stride!r}")
        if allow_missing and source != 'holdout':
            raise ValueError(f"`allow_missing` must be False unless source='holdout', got {allow_missing!r}")
        asked = {'source': source, 'interval': interval, 'momentum': momentum, 'by_epoch': by_epoch or None, 'stride': stride}
        self.asked = {name: value for name, value in asked.items() if value is not None}
        self.source = source or 'train'
        self.by_epoch = bool(by_epoch)
        every = 1 if by_epoch else INTERVALS.get(self.source, 1)
        self.interval = whole_number('interval', every if interval is None else interval, least=1)
        share = TRAIN_MOMENTUM if self.source == 'train' else 0
        self.momentum = number('momentum', share if momentum is None else momentum, least=0, below=1)
        self.stride = whole_number('stride', STRIDE if stride is None else stride, least=1)
        self.dataloader = dict(dataloader or {})
        self.allow_missing = bool(allow_missing)

    @property
    def in_training(self) -> bool:
        """Whether the interval says when to measure, and not the validation."""
        return self.source != 'val'

    def never(self, runner: Any) -> str:
        """Return a warning if a training is over before the first measurement; otherwise nothing."""
        last, unit = (runner.max_epochs, 'epochs') if self.by_epoch else (runner.max_iters, 'iterations')
        if not self.in_training or self.interval <= last:
            return ''
        return (f'ClassWeightHook measures every {self.interval} {unit}, and the training has {last}: class weights stay at 1; '
                'lower its `interval`')
