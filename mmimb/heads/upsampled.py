"""The losses of a decode head from logits of low resolution."""
from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..dispatch import Upsample, check_mode, class_map
from ..functional.resizing import Resizing
from ..functional.upsampled import upsample
from .introspect import head_losses

EPS = torch.finfo(torch.float32).eps  # what mmseg's accuracy adds to both counts


def obstacles(head: Any) -> list[str]:
    """Return for each loss of a head why it needs full-resolution logits; an empty text if it can do without them."""
    if head.sampler is not None:
        return ['the pixel sampler of the head reads them'] * len(head_losses(head))
    return [getattr(loss, 'obstacle', 'it is no loss of mmimb') for loss in head_losses(head)]


def announce(head: Any) -> None:
    """Refuse a way to up-sample that a loss of the head does not have; log which losses ``'auto'`` leaves as in mmseg."""
    for loss, obstacle in zip(head_losses(head), obstacles(head), strict=True):
        name = type(loss).__name__
        check_mode(head.upsample, name, obstacle, has_formula=getattr(loss, 'has_formula', False))
        if obstacle and head.upsample == 'auto':
            print_log(f'{type(head).__name__}: {name} is computed from full-resolution logits ({obstacle})', 'current',
                      logging.INFO)


def upsampled_losses(head: Any, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Return what ``BaseDecodeHead.loss_by_feat`` does; full-resolution logits exist only if a loss needs them.

    Args:
        head: A decode head without a pixel sampler.
        logits: ``(N, C, h, w)`` scores.
        label: ``(N, H, W)`` labels, or ``(N, C, H, W)`` maps of 0 and 1.
    """
    from mmseg.models.utils import resize

    reasons = obstacles(head)
    way = Upsample(head.upsample, head.align_corners)
    size = {'size': label.shape[-2:], 'mode': 'bilinear', 'align_corners': head.align_corners}
    full = resize(logits, **size) if any(reasons) else None
    if full is None:  # for its warnings about sizes that do not fit, without any data
        resize(torch.empty(logits.shape, device='meta'), **size)
    # before there are gradients, which stay: the memory of the two does not add up
    percent = _accuracy(_winners(logits, full, label, head), label, head.ignore_index)
    losses: dict[str, Tensor] = {}
    for loss, reason in zip(head_losses(head), reasons, strict=True):
        how = {'weight': None, 'ignore_index': head.ignore_index}
        value = loss(full, label, **how) if reason else loss(logits, label, **how, upsample=way)
        name = str(loss.loss_name)
        losses[name] = losses[name] + value if name in losses else value
    losses['acc_seg'] = percent
    return losses


def _winners(logits: Tensor, full: Tensor | None, label: Tensor, head: Any) -> Tensor:
    """Return the ``(N, H, W)`` predicted classes, or ``(N, C, H, W)`` maps, without waiting for the device."""
    if label.ndim == logits.ndim:
        full = upsample(logits.detach(), label.shape[-2:], head.align_corners) if full is None else full
        return (full > 0).to(label.dtype)
    if full is None or full.device.type == 'cpu':  # where sorting out classes is faster than reading all that there are
        height, width = label.shape[1:]
        return class_map(logits, Resizing((height, width), head.align_corners))
    return full.detach().argmax(1)


def _accuracy(winner: Tensor, label: Tensor, ignore_index: int | None) -> Tensor:
    """Return mmseg's ``(1,)`` accuracy in percent, without waiting for the device."""
    valid = torch.ones_like(label, dtype=torch.bool) if ignore_index is None else label != ignore_index
    right = (winner == label) & valid
    percent = (100 / (valid.sum().double() + EPS)).float()  # rounded where mmseg rounds
    return (right.sum().float().view(1) + EPS) * percent
