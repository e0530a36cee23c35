"""What a pass over a split shows of a model, and what it says about each class."""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..stats.evaluated import EvaluatedCounts
from ..stats.image_scores import image_iou, image_scores
from .objects import KEPT
from .score_curves import Operating, ScoreCurves, share

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Anatomy:
    """Where errors lie.

    Args:
        near: ``(C, C)`` confusion of the pixels near an edge between classes, rows = label.
        objects: ``(C, SIZES, 4)`` counts of :func:`mmimb.analysis.objects.object_counts`.
        largest: ``(C, C)`` most pixels of the row's class that one image has as the column's.
        image: ``(C, C)`` that image, -1 without one.
    """

    near: Counts
    objects: Counts
    largest: Counts
    image: Counts


@dataclass(frozen=True)
class Fate:
    """What becomes of the labelled pixels of a class; shares in [0, 1], NaN for 0/0.

    Args:
        class_index: The class.
        labelled, predicted: Pixels.
        images: Images that hold it.
        recall, precision, iou: Over all pixels.
        mean_iou: Mean IoU over the images that hold it.
        taken: ``(class, share)``: what its pixels are taken for, the largest share first; without those that are right.
        from_others: ``(class, share)``: what the pixels that are predicted as it really are, the same way.
        near: Share of the lost pixels that lie near an edge.
        objects, found: Connected parts, and how many are found (half of their pixels or more).
        now, best: What the model reaches, and what the best offset of this class's scores would; None without scores.
        average_precision: Area under precision over recall; NaN without scores.
    """

    class_index: int
    labelled: int
    predicted: int
    images: int
    recall: float
    precision: float
    iou: float
    mean_iou: float
    taken: tuple[tuple[int, float], ...]
    from_others: tuple[tuple[int, float], ...]
    near: float
    objects: int
    found: int
    now: Operating | None
    best: Operating | None
    average_precision: float

    @property
    def area(self) -> float:
        """Predicted over labelled pixels."""
        return share(self.predicted, self.labelled)


@dataclass(frozen=True)
class RunEvidence:
    """What a pass over a split has counted of one model.

    Args:
        name: Of the checkpoint.
        classes: Names, in label order.
        metrics: Flat scores in percent.
        counts: Of every image, and the confusion matrix.
        anatomy: Where errors lie.
        curves: Precision and recall over the scores, None for a model without any.
        movable: Whether offsets can be added to the scores of this model (``mmimb tune``).
    """

    name: str
    classes: tuple[str, ...]
    metrics: dict[str, float]
    counts: EvaluatedCounts
    anatomy: Anatomy
    curves: ScoreCurves | None = None
    movable: bool = True

    def image_scores(self) -> dict[str, float]:
        """Return the image-wise scores in percent."""
        return image_scores(self.counts, len(self.classes))

    def fates(self) -> list[Fate]:
        """Return what becomes of every class, in label order."""
        iou = image_iou(self.counts, len(self.classes))
        return [self._fate(c, iou[:, c]) for c in range(len(self.classes))]

    def _fate(self, c: int, iou: npt.NDArray[np.float64]) -> Fate:
        confusion, near = self.counts.confusion, self.anatomy.near
        labelled, predicted, right = int(confusion[c].sum()), int(confusion[:, c].sum()), int(confusion[c, c])
        objects = dict(zip(KEPT, self.anatomy.objects[c].sum(0).tolist(), strict=True))
        known = iou[~np.isnan(iou)]
        return Fate(
            class_index=c, labelled=labelled, predicted=predicted, images=len(known), recall=share(right, labelled),
            precision=share(right, predicted), iou=share(right, labelled + predicted - right),
            mean_iou=float(known.mean()) if len(known) else math.nan, taken=_others(confusion[c], c),
            from_others=_others(confusion[:, c], c), near=share(near[c].sum() - near[c, c], labelled - right),
            objects=objects['objects'], found=objects['found'],
            now=None if self.curves is None else self.curves.point(c),
            best=None if self.curves is None else self.curves.best(c),
            average_precision=math.nan if self.curves is None else self.curves.average_precision(c))

    def worst_images(self, c: int, most: int) -> list[int]:
        """Return the images with the lowest IoU of class ``c``, of equally bad ones those with the most pixels of it."""
        iou = image_iou(self.counts, len(self.classes))[:, c]
        label = self.counts.dense(len(self.classes))[1, :, c]
        held = np.flatnonzero(label)
        return held[np.lexsort((held, -label[held], iou[held]))][:most].tolist()

    def most_lost(self, c: int, most: int) -> list[int]:
        """Return the images with the most lost pixels of class ``c``."""
        right, label, _ = self.counts.dense(len(self.classes))[:, :, c]
        lost = label - right
        held = np.flatnonzero(lost)
        return held[np.lexsort((held, -lost[held]))][:most].tolist()


def _others(pixels: Counts, c: int) -> tuple[tuple[int, float], ...]:
    """Return ``(class, share of all)`` of the classes other than ``c``, the largest share first."""
    total = int(pixels.sum())
    order = [int(d) for d in np.argsort(-pixels, kind='stable') if d != c and pixels[d]]
    return tuple((d, int(pixels[d]) / total) for d in order)
