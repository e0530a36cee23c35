"""The passes over a split that an explanation needs, and single predictions of it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import Evaluator

from ..analysis.evidence import RunEvidence
from ..heads import last_head, unwrapped
from ..metrics import LongTailIoUMetric, PrecisionRecallMetric
from ..metrics.anatomy import AnatomyMetric
from ..scan.reader import Reader
from ..scan.sample_reader import SampleReader
from ..stats import ClassStats
from .decision import Classifier
from .evaluation import trained_classes
from .explaining import WIDTH, Picture
from .tuning_split import fitting_classes


class ExplainRun:
    """A runner whose test split is explained.

    Args:
        runner: As for testing, without weights.
        stats: Of the training split.
        scores: Count precision and recall over the scores.

    Raises:
        ValueError: The split or the report has other classes than the model.
    """

    def __init__(self, runner: Any, stats: ClassStats, *, scores: bool) -> None:
        self.runner, self.loop = runner, runner.test_loop
        self.dataset = self.loop.dataloader.dataset
        self.model = unwrapped(runner.model)
        head = last_head(self.model)
        if head is None:
            raise ValueError('`CHECKPOINT` must be of a model with a decode head, got one without it')
        self.classes = fitting_classes(self.dataset, _num_classes(head))
        stats.fit(len(self.classes), self.classes, 'the split')
        common = {'stats': stats, 'ignore_index': head.ignore_index}
        self.counting, self.anatomy = LongTailIoUMetric(keep_counts=True, **common), AnatomyMetric(**common)
        self.scores = PrecisionRecallMetric(**common) if scores else None
        self.loop.evaluator = Evaluator([m for m in (self.counting, self.anatomy, self.scores) if m is not None])
        self.loop.evaluator.dataset_meta = {'classes': self.classes}
        self.reader = SampleReader(Reader(self.dataset, head.ignore_index))
        self.palette = _palette(self.dataset, len(self.classes))

    def look(self, name: str, hook: Any) -> RunEvidence | None:
        """Load a checkpoint and pass over the split; returns what was counted on the main rank.

        Args:
            name: Of the checkpoint.
            hook: Refuses one that does not fit.

        Raises:
            ValueError: It was trained on other classes, or the split has no labelled pixel.
        """
        hook.after_load_checkpoint(self.runner, self.runner.load_checkpoint(name, map_location='cpu'))
        _check_trained(name, hook.meta or {}, self.classes)
        classifier = self._classifier()
        if self.scores is not None:
            self.scores.to_scores = classifier.scores if classifier is not None and classifier.binary else None
        metrics = self.loop.run()
        if self.runner.rank != 0:
            return None
        counts, anatomy = self.counting.counts, self.anatomy.anatomy
        if counts is None or anatomy is None or not counts.confusion.any():
            raise ValueError('`--split` must have a labelled pixel, got none')
        curves = None if self.scores is None else self.scores.curves
        return RunEvidence(name, self.classes, metrics, counts, anatomy, curves, classifier is not None)

    def add_predictions(self, pictures: dict[int, Picture], images: Iterable[int]) -> None:
        """Add what the model predicts of these images, which are read where they are not in ``pictures`` yet."""
        self.model.eval()
        for image in images:
            data = self.loop.dataloader.collate_fn([self.dataset[image]])
            with torch.no_grad():
                (sample, ) = self.model.test_step(data)
            pred = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            label = sample.gt_sem_seg.data.squeeze(0).cpu().numpy().astype(np.int64)
            if image not in pictures:
                label[label == last_head(self.model).ignore_index] = -1
                pictures[image] = self._picture(image, label)
            pictures[image].predictions.append(_small(pred.astype(np.int64), nearest=True))

    def _picture(self, position: int, label: np.ndarray) -> Picture:
        import cv2
        listed = len(self.reader.reader.files) == len(self.dataset)  # a wrapper may repeat images
        image = self.reader.image(position) if listed else None
        if image is not None and image.shape[:2] != label.shape:
            image = cv2.resize(image, label.shape[::-1], interpolation=cv2.INTER_AREA)
        name = self.reader.reader.names(position)[0] if listed else str(position)
        return Picture(name, None if image is None else _small(image), _small(label, nearest=True))

    def _classifier(self) -> Classifier | None:
        """Return where decision offsets go in the model; None if they have no place."""
        try:
            return Classifier(self.runner.model)
        except ValueError:
            return None


def _num_classes(head: Any) -> int:
    channels = int(getattr(head, 'out_channels', None) or head.num_classes)
    return 2 if channels == 1 else channels


def _check_trained(name: str, meta: Any, classes: tuple[str, ...]) -> None:
    trained = trained_classes(meta)
    if trained and tuple(trained) != classes:
        raise ValueError(f'`CHECKPOINT` must be of a model with the classes of the split ({", ".join(classes)}), got {name!r} '
                         f'with {", ".join(trained)}')


def _palette(dataset: Any, number: int) -> np.ndarray:
    """Return ``(C, 3)`` colours: those of the dataset, else evenly spread hues."""
    import cv2
    given = (getattr(dataset, 'metainfo', None) or {}).get('palette')
    if given is not None and np.shape(given) == (number, 3):
        return np.asarray(given, np.uint8)
    hues = np.arange(number) * 180 / max(number, 1)
    light = np.where(np.arange(number) % 2, 160, 235)
    colors = np.stack([hues, np.full(number, 170), light], 1).astype(np.uint8)[None]
    return cv2.cvtColor(colors, cv2.COLOR_HSV2RGB)[0]


def _small(image: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    """Return an image or a map of classes that is at most ``WIDTH`` pixels wide."""
    import cv2
    if image.shape[1] <= WIDTH:
        return image
    height = max(1, round(WIDTH * image.shape[0] / image.shape[1]))
    if not nearest:
        return cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    rows = (np.arange(height) + 0.5) * image.shape[0] / height
    columns = (np.arange(WIDTH) + 0.5) * image.shape[1] / WIDTH
    return image[rows.astype(int)[:, None], columns.astype(int)]
