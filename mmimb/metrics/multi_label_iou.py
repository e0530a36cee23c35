"""The scores of LongTailIoUMetric where a pixel can have several labels."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import number
from ..registry import METRICS
from .long_tail_iou import LongTailIoUMetric


@METRICS.register_module()
class MultiLabelIoUMetric(LongTailIoUMetric):
    """The scores and keys of :class:`LongTailIoUMetric` for ``(C, H, W)`` maps of 0, 1 and ``ignore_index``.

    A class is predicted where the sigmoid of its logit is above the threshold. ``aAcc`` is the share of right labels, of all
    classes at all pixels. The labels are in ``gt_sem_seg`` of each sample, as the data pipeline has made them, the logits in
    ``seg_logits``, as mmseg's segmentors predict them.

    Args:
        threshold: Between 0 and 1.
        **common: Arguments of :class:`LongTailIoUMetric`.

    Raises:
        ValueError: A sample has no logits, or labels of another shape than these.
    """

    needs_scores = True  # class maps are not enough

    def __init__(self, *args: Any, threshold: float = 0.5, **common: Any) -> None:
        self.threshold = number('threshold', threshold, above=0, below=1)
        super().__init__(*args, **common)

    @property
    def _rows(self) -> int:
        return super()._rows + 1  # the last one is for "not this class"

    def _confusion(self, sample: Mapping[str, Any]) -> Tensor:
        if 'seg_logits' not in sample:
            raise ValueError('`data_samples` must hold `seg_logits`, got none')
        logits = sample['seg_logits']['data']
        label = sample['gt_sem_seg']['data'].to(logits.device)
        classes = self._rows - 1
        if logits.shape != label.shape or len(logits) != classes:
            raise ValueError(f'`target` must have the shape of the logits, ({classes}, H, W), got {tuple(label.shape)} for '
                             f'{tuple(logits.shape)}')
        valid, positive = label != self.ignore_index, label == 1
        if bool((valid & ~positive & (label != 0)).any()):
            wrong = int(label[valid & ~positive & (label != 0)][0])
            raise ValueError(f'`target` must be 0, 1 or ignore_index={self.ignore_index}, got {wrong}')
        predicted = logits.sigmoid() > self.threshold
        counts = [(valid & a & b).sum((1, 2)) for a in (positive, ~positive) for b in (predicted, ~predicted)]
        hits, missed, false, rest = counts
        confusion = torch.zeros(self._rows, self._rows, dtype=torch.int64, device=logits.device)
        confusion[:-1, :-1] = hits.diag()
        confusion[:-1, -1], confusion[-1, :-1], confusion[-1, -1] = missed, false, rest.sum()
        return confusion
