"""Where errors lie: near the edges of classes or not, in objects of which size, and which image shows each confusion best."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor

from ..analysis.evidence import Anatomy
from ..analysis.objects import KEPT, SIZES, object_counts
from ..functional import band_width, boundary_band, confusion_matrix
from .long_tail_iou import LongTailIoUMetric

NEAR, LEAST = 0.005, 3  # width of the band along the edges: a share of the image's diagonal, and pixels at least


class AnatomyMetric(LongTailIoUMetric):
    """Counts what an explanation of errors needs beside the confusion matrix; ``anatomy`` holds it on the main rank.

    It gives no keys. Of each pair of classes the image with the most pixels of the one taken for the other is remembered.
    """

    makes_confusion = False
    anatomy: Anatomy | None = None
    _confusions: tuple[np.ndarray, np.ndarray] | None = None  # the largest of each pair, and at which position

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Take the counts of all images apart; there are no scores."""
        edges, objects = results[0].numpy()[:self._rows**2], results[0].numpy()[self._rows**2:]
        nothing = np.zeros((self._rows, self._rows), np.int64)
        objects = objects.reshape(self._rows, SIZES, len(KEPT))
        self.anatomy = Anatomy(edges.reshape(nothing.shape), objects, nothing, nothing - 1)
        return {}

    def keys(self) -> list[str]:
        """Return no keys."""
        return []

    def evaluate(self, size: int) -> dict[str, float]:
        """Add up the ranks; ``anatomy`` is there on the main one afterwards."""
        nothing = np.zeros((self._rows, self._rows), np.int64)
        largest, where = self._confusions or (nothing, nothing - 1)
        self._confusions = None
        scores = super().evaluate(size)
        rank, world_size = get_dist_info()
        own = (largest, np.where(where < 0, -1, (rank + where * world_size) % max(size, 1)))  # padding repeats the first images
        parts = [np.stack(part) for part in zip(*all_gather_object(own), strict=True)]
        first = parts[0].argmax(0)[None]
        best, image = (np.take_along_axis(part, first, 0)[0] for part in parts)
        if self.anatomy is not None:
            self.anatomy = replace(self.anatomy, largest=best, image=image)
        return scores

    def _nothing(self) -> Tensor:
        return torch.zeros(self._rows * (self._rows + SIZES * len(KEPT)), dtype=torch.int64)

    def _confusion(self, sample: Mapping[str, Any]) -> Tensor:
        """Return the confusion matrix near edges and the objects, in one row."""
        pred, label = (part.long() for part in self._maps(sample))
        self._remember(confusion_matrix(pred, label, self._rows, self.ignore_index).cpu().numpy())
        valid = label != self.ignore_index
        width = max(LEAST, band_width(label.shape[0], label.shape[1], NEAR))
        near = boundary_band(label, valid, width, outside=False)
        edges = confusion_matrix(pred, label.masked_fill(~near, self.ignore_index), self._rows, self.ignore_index)
        objects = object_counts(pred.cpu().numpy(), label.masked_fill(~valid, -1).cpu().numpy(), self._rows)
        return torch.cat([edges.flatten(), torch.from_numpy(objects).flatten().to(edges.device)])

    def _remember(self, confusion: np.ndarray) -> None:
        """Take an image as the one of each pair of classes whose confusion is larger than in all before."""
        largest, where = self._confusions or (np.zeros_like(confusion), np.full_like(confusion, -1))
        more = confusion > largest
        self._confusions = np.where(more, confusion, largest), np.where(more, self._images, where)
