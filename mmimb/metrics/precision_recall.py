"""Average precision of every class, and what an offset of its scores could reach."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..analysis.score_curves import BINS, ScoreCurves, count_leads
from ..registry import METRICS
from .keys import percent_keys
from .long_tail_iou import LongTailIoUMetric


@METRICS.register_module()
class PrecisionRecallMetric(LongTailIoUMetric):
    """Precision and recall over the score, counted in fixed bins (:class:`mmimb.analysis.score_curves.ScoreCurves`).

    Keys in percent: ``mAP``, ``mAP_<group>`` and ``AP.<class>``, the area under precision over recall; ``mBestF``,
    ``mBestF_<group>`` and ``BestF.<class>``, the best F-score that an offset of the class's own score reaches; and
    ``Offset.<class>``, that offset, in units of the scores. A high AP of a class with a low IoU says that it is seen and not
    believed. It looks at the scores of all classes at all pixels, which takes time, and keeps the model from predicting class
    maps alone.

    Args:
        **common: Arguments of :class:`LongTailIoUMetric` about statistics, groups and ignored pixels.
    """

    needs_scores, makes_confusion = True, False
    to_scores: Callable[[Tensor], Tensor] | None = None  # of ``seg_logits``, for models whose prediction is not their largest
    curves: ScoreCurves | None = None

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Return the scores of ``[counts]``, the ``(2, C, BINS)`` pixels of all images; ``curves`` keeps them."""
        self.curves = ScoreCurves(*results[0].numpy())
        return self._scores(self.curves)

    def _scores(self, curves: ScoreCurves) -> dict[str, float]:
        classes, groups = self._resolve()
        best = [curves.best(c) for c in range(len(classes))]
        areas = torch.tensor([curves.average_precision(c) for c in range(len(classes))], dtype=torch.float64)
        found = percent_keys('AP', areas, classes, groups)
        found.update(percent_keys('BestF', torch.tensor([one.f_score for one in best], dtype=torch.float64), classes, groups))
        return {**found, **{f'Offset.{name}': round(one.offset, 3) for name, one in zip(classes, best, strict=True)}}

    def keys(self) -> list[str]:
        """Return the keys of every evaluation."""
        return list(self._prefixed(self._scores(ScoreCurves(*self._nothing().numpy()))))

    def _nothing(self) -> Tensor:
        return torch.zeros(2, self._rows, BINS, dtype=torch.int64)

    def _confusion(self, sample: Mapping[str, Any]) -> Tensor:
        if 'seg_logits' not in sample:
            raise ValueError('`data_samples` must hold `seg_logits`, got none')
        logits = sample['seg_logits']['data']
        scores = logits if self.to_scores is None else self.to_scores(logits)
        if len(scores) != self._rows:
            raise ValueError(f'`seg_logits` must have a channel for each of the {self._rows} classes, got {len(scores)}')
        return count_leads(scores, sample['gt_sem_seg']['data'].squeeze(0), self.ignore_index)
