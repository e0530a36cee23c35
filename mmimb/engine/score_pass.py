"""One pass over a split that keeps what decisions are made of: sampled scores, and counts per image."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from ..analysis.offset_objective import Counts
from ..analysis.score_sample import budget_per_image, sample_image
from ..functional import confusion_matrix
from .decision import Classifier


class ScorePass(BaseMetric):
    """Counts every image and, on request, samples its scores; images that a sampler adds for other ranks are dropped.

    Args:
        classifier: Of the model that is tested.
        num_images: Images of the split.
        ignore_index: The label of pixels that do not count.
    """

    default_prefix = ''

    def __init__(self, classifier: Classifier, num_images: int, ignore_index: int) -> None:
        super().__init__(collect_device='cpu')
        self.classifier, self.ignore_index = classifier, ignore_index
        self.budget = budget_per_image(num_images)
        self.sampling = True
        self.collected: list[dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the images of a batch."""
        for sample in data_samples:
            self.results.append(self._keep(sample))

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Keep the images of all ranks, in the order of the split, on the main rank."""
        self.collected = results
        hits, labels = (sum(image['counts'][i].sum() for image in results) for i in (0, 1))
        return {'aAcc': round(100 * float(hits / max(1, labels)), 2)}

    def counts(self) -> Counts:
        """Return the ``(images, C)`` counts of the last pass, on the main rank."""
        return Counts(*(np.stack([image['counts'][i] for image in self.collected]).astype(np.float64) for i in range(3)))

    def _keep(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        path = sample.get('seg_map_path') or sample.get('img_path') or 'an image without a path'
        if 'gt_sem_seg' not in sample:
            raise ValueError(f'{path}: `--split` must have labels, got none')
        label = sample['gt_sem_seg']['data'].squeeze(0).cpu()
        try:
            pred = sample['pred_sem_seg']['data'].squeeze(0).cpu()
            matrix = confusion_matrix(pred, label, self.classifier.num_classes, self.ignore_index).numpy()
            kept = {'path': str(path), 'counts': np.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)])}
            if self.sampling:
                scores = self.classifier.scores(sample['seg_logits']['data'])
                kept.update(sample_image(scores, label, ignore_index=self.ignore_index, budget=self.budget))
        except ValueError as error:
            raise ValueError(f'{path}: {error} (`label` is the label file, `logits` the model)') from error
        return kept
