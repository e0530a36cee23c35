"""IoU in a band along the edges of the classes, where thin and small things lie."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import number
from ..functional import band_width, boundary_counts, confusion_matrix
from ..registry import METRICS
from .keys import percent_keys
from .long_tail_iou import LongTailIoUMetric


@METRICS.register_module()
class BoundaryIoUMetric(LongTailIoUMetric):
    """Boundary IoU (arXiv 2103.16562) in percent: ``mBoundaryIoU``, ``mBoundaryIoU_<group>`` and ``BoundaryIoU.<class>``.

    Of label and prediction only the pixels of a class count that are near its edge, or near that of the image. Ignored pixels
    do not count and make no edge. Counts are summed over all images, as for the IoU of a dataset. It is a metric of its own
    beside others in a list of evaluators, because it takes time.

    Args:
        width: Of the band, as a share of the image's diagonal; a pixel at least.
        **common: Arguments of :class:`LongTailIoUMetric` about statistics, groups and ignored pixels.
    """

    makes_confusion = False

    def __init__(self, *args: Any, width: float = 0.02, **common: Any) -> None:
        self.width = number('width', width, above=0, below=1)
        super().__init__(*args, **common)

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Return the scores of ``[counts]``, the ``(3, C)`` pixels in both bands, in the label's, in the prediction's."""
        classes, groups = self._resolve()
        both, label, pred = results[0].double()
        return percent_keys('BoundaryIoU', both / (label + pred - both), classes, groups)

    def keys(self) -> list[str]:
        """Return the keys of every evaluation."""
        return list(self._prefixed(self.compute_metrics([self._nothing()])))

    def _nothing(self) -> Tensor:
        return torch.zeros(3, self._rows, dtype=torch.int64)

    def _confusion(self, sample: Mapping[str, Any]) -> Tensor:
        pred, label = self._maps(sample)
        confusion_matrix(pred, label, self._rows, self.ignore_index)  # refuses what is out of range
        height, width = label.shape
        return boundary_counts(pred, label, self._rows, self.ignore_index, band_width(height, width, self.width))
