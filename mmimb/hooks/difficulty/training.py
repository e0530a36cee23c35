"""Difficulty from the training batches themselves."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...checks import whole_number
from ...functional import first_largest
from ...functional.sampled import upsample_at
from ...heads import classifies_queries, prediction_loss
from .meter import DifficultyMeter
from .source import Source
from .watched import every, watch_iterations, watch_queries


class TrainingSource(Source):
    """Measures on every ``stride``-th row and column of the training batches, as the last decode head sees them.

    Of heads that classify queries, the semantic map of the last layer is measured; of K-Net, the last iteration.

    Args:
        interval: See :class:`Source`.
        by_epoch: See there.
        momentum: See there.
        stride: 1 looks at every pixel.
    """

    name = 'train'
    INTERVAL = 100

    def __init__(self, interval: int | None = None, by_epoch: bool = False, momentum: float = 0.9, stride: int = 4) -> None:
        super().__init__(momentum, interval, by_epoch)
        self.stride = whole_number('stride', stride, least=1)

    def start(self, runner: Any, model: nn.Module, meter: DifficultyMeter) -> None:
        super().start(runner, model, meter)
        if classifies_queries(self.head):
            self._watch: Any = watch_queries(self.head, meter, stride=self.stride)
            return
        if hasattr(self.head, 'kernel_generate_head'):
            self._watch = watch_iterations(self.head, meter, stride=self.stride)
            return
        loss = prediction_loss(self.head)
        if loss is None:
            raise ValueError("`model` must have a decode head with losses for source='train' of ClassWeightHook, got "
                             f'{type(model).__name__}')
        self._watch = watch_training(loss, self.head, meter, stride=self.stride)

    def see(self, samples: Any) -> None:
        """Add up over the ranks what the loss was given in this iteration: any checkpoint then holds the counts of all."""
        self.meter.gather()

    def stop(self) -> None:
        self._watch.remove()


def watch_training(loss: nn.Module, head: Any, meter: DifficultyMeter, *, stride: int) -> RemovableHandle:
    """Count every ``stride``-th row and column of what ``loss`` is given in training.

    Calls without a gradient (an OHEM sampler ranks pixels with them) do not count. Logits of lower resolution than the labels
    are interpolated at the labels' positions, as the head does.

    Args:
        loss: A loss of ``head``.
        head: The decode head, which knows ``ignore_index``, ``align_corners`` and the threshold of a single channel.
        meter: Where the counts go.
        stride: 1 looks at every pixel.
    """

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not (module.training and torch.is_grad_enabled()) or len(args) < 2:  # mmseg's heads give both by position
            return
        logits, label = args[0].detach(), args[1]
        part = every(label.shape[1:], stride)
        where = (part, ) * (label.ndim - 1)  # rows and columns, or points
        if logits.shape[2:] == label.shape[1:]:
            logits = logits[(slice(None), slice(None), *where)]
        else:
            logits = upsample_at(logits, label.shape[1:], part, part, bool(head.align_corners))
        meter.add(predicted(logits, head), label[(slice(None), *where)], head.ignore_index)

    return loss.register_forward_pre_hook(look, with_kwargs=True)


def predicted(logits: Tensor, head: Any) -> Tensor:
    """Return the ``(N, *)`` classes that a head predicts by ``(N, C, *)`` logits."""
    return (logits[:, 0].sigmoid() > head.threshold).long() if logits.shape[1] == 1 else first_largest(logits)
