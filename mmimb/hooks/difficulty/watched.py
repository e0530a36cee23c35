"""Heads whose losses are not given the scores of the prediction: what they predict is counted as they compute their losses."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...functional import first_largest
from ...functional.sampled import upsample_at
from .meter import DifficultyMeter


class WatchedHead:
    """Counts in each ``loss_by_feat`` of a head in training, before its losses are computed.

    Args:
        head: The head; of this instance alone the method changes.
        count: Given what the method is given.
    """

    def __init__(self, head: Any, count: Callable[..., None]) -> None:
        self.head = head
        compute = head.loss_by_feat

        def watched(*args: Any, **kwargs: Any) -> Any:
            if head.training and torch.is_grad_enabled():
                with torch.no_grad():
                    count(*args)
            return compute(*args, **kwargs)

        head.loss_by_feat = watched

    def remove(self) -> None:
        """Give the head its method back."""
        del self.head.loss_by_feat


def watch_queries(head: Any, meter: DifficultyMeter, *, stride: int) -> WatchedHead:
    """Count every ``stride``-th row and column of the semantic map of the last layer of a head of queries.

    The map is what the head predicts: for a class the sum over the queries of its probability times the mask.

    Args:
        head: Mask2Former, MaskFormer, SAN, or a head that derives from them.
        meter: Where the counts go.
        stride: 1 looks at every pixel.
    """
    def count(scores: Sequence[Tensor], masks: Sequence[Tensor], instances: Sequence[Any], *rest: Any) -> None:
        for score, mask, truth in zip(scores[-1], masks[-1], instances, strict=True):
            part = every(truth.masks.shape[1:], stride)
            inside = truth.masks[:, part, part].bool()
            label = torch.full(inside.shape[1:], head.ignore_index, dtype=torch.long, device=inside.device)
            if len(inside):
                label = torch.where(inside.any(0), truth.labels[inside.int().argmax(0)], label)
            shown = upsample_at(mask.unsqueeze(0), truth.masks.shape[1:], part, part)[0].sigmoid()
            classes = torch.einsum('qc,qhw->chw', score.float().softmax(-1)[:, :-1], shown).argmax(0)
            meter.add(classes, label, head.ignore_index)

    return WatchedHead(head, count)


def watch_iterations(head: Any, meter: DifficultyMeter, *, stride: int) -> WatchedHead:
    """Count every ``stride``-th row and column of the last iteration of K-Net, whose losses see all of them; as above."""
    def count(scores: Sequence[Tensor], samples: Sequence[Any], *rest: Any) -> None:
        truths = [sample.gt_sem_seg.data[0] for sample in samples]
        part = every(truths[0].shape, stride)
        logits = upsample_at(scores[-1], truths[0].shape, part, part, bool(head.align_corners))
        meter.add(first_largest(logits), torch.stack([truth[part, part] for truth in truths]), head.ignore_index)

    return WatchedHead(head, count)


def every(size: Sequence[int], stride: int) -> slice:
    """Return every ``stride``-th position along the sides of an image; all where one of them has too few."""
    return slice(None) if min(size) <= stride // 2 else slice(stride // 2, None, stride)
