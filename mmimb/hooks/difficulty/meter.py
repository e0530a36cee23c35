"""Counts of hits, and the scores that follow from them, equal on all ranks."""
from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ...functional import MEASURES, class_scores, confusion_matrix


class DifficultyMeter(nn.Module):
    """Counts pixels on the device, adds up the ranks when told to, and averages scores over time.

    State, all of it in buffers: ``counts (3, C)``, hits, labelled and predicted pixels of this rank since the last
    :meth:`gather`; ``gathered (3, C)``, those of all ranks since the last :meth:`close`; ``score (3, C)``, recall, IoU and
    F1, NaN for a class that was never measured. The first is not saved: gather before a checkpoint can be written.

    Args:
        num_classes: Number of classes C.
        momentum: Share of the old score in the new one; 0 keeps the latest measurement only.
    """

    counts: Tensor
    gathered: Tensor
    score: Tensor

    def __init__(self, num_classes: int, momentum: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.momentum = momentum
        self.register_buffer('counts', torch.zeros(3, num_classes, dtype=torch.int64), persistent=False)
        self.register_buffer('gathered', torch.zeros(3, num_classes, dtype=torch.int64))
        self.register_buffer('score', torch.full((len(MEASURES), num_classes), torch.nan, dtype=torch.float64))

    def add(self, pred: Tensor, label: Tensor, ignore_index: int) -> None:
        """Count predicted classes against labels of the same shape, without a host sync off the CPU."""
        matrix = confusion_matrix(pred, label, self.num_classes, ignore_index)
        self.counts += torch.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)])

    def gather(self) -> None:
        """Add up the counts of all ranks; every rank must call it at the same time."""
        all_reduce(self.counts)
        self.gathered += self.counts
        self.counts.zero_()

    def close(self) -> tuple[Tensor, Tensor]:
        """Gather, and return the ``(3, C)`` scores with what was counted since the last call; counting starts anew.

        A class without a labelled pixel in that time keeps its score if scores are averaged; otherwise it has none (NaN).

        Returns:
            The scores, and the number of labelled pixels that were counted.
        """
        self.gather()
        latest, seen = class_scores(*self.gathered), self.gathered[1].sum()
        self.gathered.zero_()
        mixed = torch.where(self.score.isnan(), latest, self.momentum * self.score + (1 - self.momentum) * latest)
        self.score = torch.where(latest.isnan(), self.score, mixed)
        return self.score if self.momentum else latest, seen
