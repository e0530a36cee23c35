"""What a trained head predicts: low-resolution scores, counts per image, and the figures that follow."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from features import IGNORED, Features
from frozen import head_losses
from torch import Tensor, nn


@torch.no_grad()
def predictions(head: nn.Module, features: Features, device: str = 'cpu') -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the ``(C, h, w)`` scores at stride 4 and the ``(H, W)`` labels of each image, both padded.

    Scores are logits as the loss sees them: those of a loss with a ``scale`` are multiplied by it.
    """
    scale = max((float(getattr(m, 'scale', 1.0)) for m in head_losses(head)), default=1.0)
    for k in range(len(features)):
        found, label = features.batch([k], device)
        yield scale * head(found)[0], label[0]


def image_counts(pred: Tensor, label: Tensor, classes: int) -> Tensor:
    """Return ``(3, C)`` int64 counts of an image: hits, labelled and predicted pixels."""
    valid = label != IGNORED
    pred, label = pred[valid], label[valid]
    count = [pred[pred == label], label, pred]
    return torch.stack([torch.bincount(x, minlength=classes) for x in count])


def decide(scores: Tensor, shape: Sequence[int], offsets: Tensor | None = None) -> Tensor:
    """Return the ``(H, W)`` classes of ``(C, h, w)`` scores, as mmseg decides: up-sampled, then the largest."""
    if offsets is not None:
        scores = scores + offsets.to(scores).view(-1, 1, 1)
    return F.interpolate(scores[None], tuple(shape), mode='bilinear', align_corners=False)[0].argmax(0)


def count_all(head: nn.Module, features: Features, classes: int, device: str = 'cpu',
              offsets: Tensor | None = None) -> np.ndarray:
    """Return ``(N, 3, C)`` counts of all images."""
    return np.stack([image_counts(decide(z, y.shape, offsets), y, classes).cpu().numpy()
                     for z, y in predictions(head, features, device)])


def figures(counts: np.ndarray, tail: Sequence[int]) -> dict[str, Any]:
    """Return per-class IoU, and mIoU, mean recall, tail IoU, tail recall and tail precision in percent.

    Args:
        counts: ``(N, 3, C)`` or ``(3, C)`` counts.
        tail: Ids of the tail. Classes without a labelled pixel are left out of every mean; a class that is never predicted
            has precision 0.
    """
    hits, labelled, predicted = (counts.sum(0) if counts.ndim == 3 else counts).astype(np.float64)
    there = labelled > 0
    with np.errstate(all='ignore'):
        iou = np.where(there, 100 * hits / (labelled + predicted - hits), np.nan)
        recall = np.where(there, 100 * hits / labelled, np.nan)
        precision = np.where(there, np.where(predicted > 0, 100 * hits / np.maximum(predicted, 1), 0), np.nan)
    tail = [c for c in tail if there[c]]
    return {'iou': iou, 'mIoU': np.nanmean(iou), 'mAcc': np.nanmean(recall), 'tail': iou[tail].mean(),
            'tail_recall': recall[tail].mean(), 'tail_precision': precision[tail].mean()}

