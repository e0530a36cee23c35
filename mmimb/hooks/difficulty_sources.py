"""From what the difficulty of classes is measured: training pixels, a held-out split, or the validation."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..heads import last_head, prediction_loss
from .difficulty_meter import DifficultyMeter


def watched(model: nn.Module, source: str) -> tuple[Any, nn.Module | None]:
    """Return the last decode head of a model and the loss that is given the logits of its prediction, if it has one.

    Raises:
        ValueError: There is no head, or no loss to count the training pixels of.
    """
    head = last_head(model)
    loss = None if head is None else prediction_loss(head)
    if head is None or (loss is None and source == 'train'):
        wanted = "a decode head with losses for source='train' of" if source == 'train' else 'a decode head for'
        raise ValueError(f'`model` must have {wanted} ClassWeightHook, got {type(model).__name__}')
    return head, loss


def watch_training(loss: nn.Module, head: Any, meter: DifficultyMeter, *, stride: int) -> RemovableHandle:
    """Count every ``stride``-th row and column of what ``loss`` is given in training; the rest is not looked at.

    Calls without a gradient (the ranking of an OHEM sampler) do not count. Logits of lower resolution than the labels are
    interpolated at the labels' positions, as the head does.

    Args:
        loss: A loss of ``head``; heads that are not watched do not count.
        head: The decode head, which knows ``ignore_index``, ``align_corners`` and the threshold of a single channel.
        meter: Where the counts go.
        stride: 1 looks at every pixel.
    """

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not (module.training and torch.is_grad_enabled()) or len(args) < 2:  # mmseg's heads give both by position
            return
        logits, label = args[0].detach(), args[1]
        spatial = (slice(stride // 2, None, stride), ) * (2 if label.ndim > 2 else 1)
        if min(label.shape[1:]) <= stride // 2:
            spatial = (slice(None), ) * len(spatial)
        if logits.shape[2:] == label.shape[1:]:
            logits = logits[(slice(None), slice(None), *spatial)]
        else:
            logits = _interpolated(logits, label.shape[1:], spatial, bool(head.align_corners))
        meter.add(predicted(logits, head), label[(slice(None), *spatial)], head.ignore_index)

    return loss.register_forward_pre_hook(look, with_kwargs=True)


def predicted(logits: Tensor, head: Any) -> Tensor:
    """Return the ``(N, *)`` classes that ``(N, C, *)`` logits of a head stand for."""
    return (logits[:, 0].sigmoid() > head.threshold).long() if logits.shape[1] == 1 else logits.argmax(1)


def count_samples(samples: Iterable[Any], meter: DifficultyMeter, ignore_index: int) -> None:
    """Count the predictions of data samples against their labels."""
    for sample in samples:
        pred = sample.pred_sem_seg.data.squeeze(0)
        meter.add(pred, sample.gt_sem_seg.data.squeeze(0).to(pred.device), ignore_index)


class ValidationCounter:
    """Counts the samples of a validation as they come, without what the sampler adds to fill the ranks.

    Args:
        runner: Of the training; is warned.
        meter: Where the counts go.
        ignore_index: Label of pixels that do not count.

    Raises:
        ValueError: The run does not validate.
    """

    def __init__(self, runner: Any, meter: DifficultyMeter, ignore_index: int) -> None:
        if runner.val_loop is None:
            raise ValueError("`val_dataloader` must be given for source='val' of ClassWeightHook, got None")
        runner.logger.warning("ClassWeightHook(source='val') chooses class weights on the validation split: its scores are no "
                              'longer those of unseen data; hold images out for this, or report another split')
        self._size = len(runner.val_loop.dataloader.dataset)
        self._meter = meter
        self._ignore_index = ignore_index
        self._seen = 0

    def start(self) -> None:
        """Begin with the first sample of a validation."""
        self._seen = 0

    def add(self, samples: Sequence[Any]) -> None:
        """Count the next samples of this rank; mmengine deals image ``i`` to rank ``i % world_size``."""
        rank, world_size = get_dist_info()
        own = [s for j, s in enumerate(samples, start=self._seen) if rank + j * world_size < self._size]
        self._seen += len(samples)
        count_samples(own, self._meter, self._ignore_index)


def saves_now(runner: Any) -> bool:
    """Return whether a checkpoint is saved after this iteration."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch]
    return any(hook.every_n_train_iters(runner, hook.interval, hook.save_begin) for hook in hooks)


def validation_is_missing(runner: Any, measured: int) -> bool:
    """Return whether a resumed run left out the validation after its checkpoint: stacks save first and validate then.

    Args:
        runner: At the start of training.
        measured: Iterations done at the last measurement in the checkpoint.
    """
    loop = runner.train_loop
    loop._decide_current_val_interval()  # else that of the beginning, under `dynamic_intervals`
    done = loop.epoch if isinstance(loop, EpochBasedTrainLoop) else loop.iter
    return 0 < done >= loop.val_begin and done % loop.val_interval == 0 and measured < runner.iter


def _interpolated(logits: Tensor, size: Sequence[int], spatial: tuple[slice, ...], align_corners: bool) -> Tensor:
    """Return bilinear ``F.interpolate(logits, size)`` at some rows and columns, without building the rest."""
    axes = []
    for length, where in zip(size, spatial, strict=True):
        index = torch.arange(length, device=logits.device, dtype=torch.float32)[where]
        axes.append(2 * index / max(length - 1, 1) - 1 if align_corners else (2 * index + 1) / length - 1)
    rows, columns = axes
    grid = torch.stack([columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))], -1)
    grid = grid.expand(len(logits), -1, -1, -1)
    return F.grid_sample(logits.float(), grid, mode='bilinear', padding_mode='border', align_corners=align_corners)
