"""What decision offsets are tuned for: counts of predictions, and the scores made of them."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TERMS = ('mIoU', 'mIoU_tail', 'mAcc', 'worst')


@dataclass(frozen=True)
class Counts:
    """Right, labelled and predicted pixels per class: float64 ``(..., C)`` each."""

    hits: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray

    def sum(self) -> Counts:
        """Return the ``(C,)`` counts of all groups together."""
        return Counts(*(part.sum(0) for part in (self.hits, self.labels, self.predicted)))

    def times(self, draws: np.ndarray) -> Counts:
        """Return the ``(B, C)`` counts of samples that take group ``g`` ``draws[b, g]`` times."""
        return Counts(*(draws @ part for part in (self.hits, self.labels, self.predicted)))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.labels + other.labels, self.predicted + other.predicted)


@dataclass(frozen=True)
class Objective:
    """A weighted sum of scores in percent, whose weights have sum 1.

    ``mIoU`` is the mean IoU over the classes that have labels, ``mIoU_tail`` that over those of ``tail``, ``mAcc`` the mean
    recall, ``worst`` the smallest IoU.

    Args:
        terms: Weights by name.
        tail: Class ids of the tail.
    """

    terms: Mapping[str, float]
    tail: tuple[int, ...] = ()

    @classmethod
    def of(cls, objective: str | Mapping[str, float], tail: Sequence[int] = ()) -> Objective:
        """Accept ``'mIoU'``, ``'mIoU=0.5,mIoU_tail=0.5'`` or a mapping.

        Raises:
            ValueError: A name is unknown, a weight is not positive, or ``mIoU_tail`` comes without ``tail``.
        """
        terms = dict(_parse(objective) if isinstance(objective, str) else objective)
        if not terms or not all(name in TERMS for name in terms):
            raise ValueError(f'`objective` must be made of {", ".join(TERMS)}, got {objective!r}')
        if not all(isinstance(w, (int, float)) and math.isfinite(w) and w > 0 for w in terms.values()):
            raise ValueError(f'`objective` must have weights above 0, got {objective!r}')
        if 'mIoU_tail' in terms and not len(tail):
            raise ValueError('`tail` must hold the tail classes for the objective mIoU_tail, got none')
        total = sum(terms.values())
        return cls({name: weight / total for name, weight in terms.items()}, tuple(int(c) for c in tail))

    def __str__(self) -> str:
        return next(iter(self.terms)) if len(self.terms) == 1 else ' + '.join(f'{w:.3g} {n}' for n, w in self.terms.items())

    def value(self, counts: Counts) -> Any:
        """Return the ``(...)`` values in percent of ``(..., C)`` counts; NaN where a mean is over no class."""
        occurs = counts.labels > 0
        iou = _divide(counts.hits, counts.labels + counts.predicted - counts.hits, occurs)
        tail = np.isin(np.arange(counts.hits.shape[-1]), self.tail)
        scores = {'mIoU': lambda: _mean(iou, occurs), 'mIoU_tail': lambda: _mean(iou, occurs & tail),
                  'mAcc': lambda: _mean(_divide(counts.hits, counts.labels, occurs), occurs),
                  'worst': lambda: np.where(occurs, iou, np.inf).min(-1)}
        return 100 * sum(weight * scores[name]() for name, weight in self.terms.items())

    def parts(self, counts: Counts) -> np.ndarray:
        """Return what each class adds to the value of ``(C,)`` counts, in percent."""
        occurs = counts.labels > 0
        iou_weight, acc_weight, worst = self.weights(counts.labels)
        iou = _divide(counts.hits, counts.labels + counts.predicted - counts.hits, occurs)
        parts = iou_weight * iou + acc_weight * _divide(counts.hits, counts.labels, occurs)
        lowest = int(np.where(occurs, iou, np.inf).argmin())
        parts[lowest] += worst * iou[lowest]
        return 100 * parts

    def weights(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return ``(C,)`` factors of each IoU and each recall in :meth:`value` / 100, and that of the smallest IoU."""
        occurs = labels > 0
        tail = occurs & np.isin(np.arange(len(labels)), self.tail)
        share = self.terms.get
        iou = share('mIoU', 0.0) * occurs / max(1, occurs.sum()) + share('mIoU_tail', 0.0) * tail / max(1, tail.sum())
        return iou, share('mAcc', 0.0) * occurs / max(1, occurs.sum()), share('worst', 0.0)


def _parse(text: str) -> dict[str, float]:
    terms: dict[str, float] = {}
    for part in text.split(','):
        name, equal, weight = part.partition('=')
        try:
            terms[name.strip()] = float(weight) if equal else 1.0
        except ValueError:
            raise ValueError(f"`objective` must be a name or like 'mIoU=0.5,mIoU_tail=0.5', got {text!r}") from None
    return terms


def _divide(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a, dtype=np.float64), where=where)


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    number = where.sum(-1)
    return np.where(number > 0, np.where(where, values, 0).sum(-1) / np.maximum(number, 1), np.nan)
