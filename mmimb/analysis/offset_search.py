"""Offsets per class that maximise an objective on kept scores: exact in one class at a time."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .offset_objective import Counts, Objective
from .score_sample import ScoreSample

PASSES = 10
TOLERANCE = 1e-5  # of the objective in [0, 1], in a pass over all classes
TIE = 1e-9  # of the largest score: of equal scores of a pixel the first wins
NARROW = 1e-4  # of the margin: gaps that are nearer than that are taken together


@dataclass(frozen=True)
class Contest:
    """The pixels whose class offsets can change, and the counts of the others.

    No two offsets are further apart than ``span``: a class whose score lies further below the largest is left out.

    Args:
        scores: ``(n, K)`` float64, ``-inf`` where a class is left out.
        classes: ``(n, K)`` int64.
        label: ``(n,)`` int64.
        weight: ``(n,)`` float64.
        group: ``(n,)`` int64.
        fixed: ``(G, C)`` counts of the pixels that keep their class.
        span: Largest difference of two offsets.
    """

    scores: np.ndarray
    classes: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    fixed: Counts
    span: float

    @classmethod
    def of(cls, sample: ScoreSample, span: float) -> Contest:
        shape = (sample.num_groups, sample.num_classes)
        reach = np.where(sample.scores >= sample.scores[:, :1] - span, sample.scores, -np.inf)
        open_ = (reach[:, 1:] > -np.inf).any(1)
        done = ~open_
        fixed = _counts(sample.classes[done, 0], sample.label[done], sample.weight[done], sample.group[done], shape)
        width = max(1, int((reach > -np.inf).sum(1).max(initial=1)))
        scores = reach[open_, :width].astype(np.float64)
        scores -= TIE * max(1.0, np.abs(sample.scores[:, 0]).max(initial=0)) * np.arange(width)
        return cls(scores, sample.classes[open_, :width].astype(np.int64),
                   sample.label[open_].astype(np.int64), sample.weight[open_], sample.group[open_].astype(np.int64), fixed,
                   span)

    def only(self, groups: np.ndarray) -> Contest:
        """Return the part of the groups that are true in ``(G,)`` ``groups``; the others stay, empty."""
        rows = groups[self.group]
        fixed = Counts(*(part * groups[:, None] for part in (self.fixed.hits, self.fixed.labels, self.fixed.predicted)))
        return Contest(self.scores[rows], self.classes[rows], self.label[rows], self.weight[rows], self.group[rows], fixed,
                       self.span)

    def counts(self, offsets: np.ndarray) -> Counts:
        """Return the ``(G, C)`` counts of the prediction after ``offsets``, ``(C,)``."""
        best = (self.scores + offsets[self.classes]).argmax(1)
        predicted = self.classes[np.arange(len(best)), best]
        return self.fixed + _counts(predicted, self.label, self.weight, self.group, self.fixed.hits.shape)


def ascend(contest: Contest, objective: Objective, start: np.ndarray, *, margin: float) -> np.ndarray:
    """Return ``(C,)`` offsets from which no single one can be moved to a larger objective.

    Args:
        contest: The pixels.
        objective: What to maximise.
        start: ``(C,)`` offsets to start from; those of classes without labels stay.
        margin: How far inside the interval of equally good offsets a moved one is put, at most half its length.
    """
    state = _State(contest, objective, start, margin)
    movable = np.flatnonzero(state.labels > 0)
    for _ in range(PASSES):
        gain = sum(state.move(int(c)) for c in movable)
        if gain < TOLERANCE:
            break
    return state.offsets


class _State:
    """Offsets, and the counts that they give."""

    def __init__(self, contest: Contest, objective: Objective, start: np.ndarray, margin: float) -> None:
        self.contest, self.margin = contest, margin
        self.offsets = start.astype(np.float64).copy()
        total = contest.counts(self.offsets).sum()
        self.hits, self.labels, self.predicted = total.hits, total.labels, total.predicted
        self.iou_weight, self.acc_weight, self.worst = objective.weights(self.labels)
        self.shifted = contest.scores + self.offsets[contest.classes]
        flat = np.where(contest.scores > -np.inf, contest.classes, len(start)).ravel()
        order = np.argsort(flat, kind='stable')
        bounds = np.searchsorted(flat[order], np.arange(len(start) + 1))
        width = max(1, contest.scores.shape[1])
        self.entries = [np.divmod(order[a:b], width) for a, b in pairwise(bounds)]

    def move(self, c: int) -> float:
        """Set the offset of class ``c`` to the best one and return the gain of the objective."""
        rows, slots = self.entries[c]
        if not len(rows):
            return 0.0
        gap, rival = self._rivals(rows, slots)
        self._give(c, rows, rival, self.offsets[c] > gap, -1.0)
        others = np.delete(self.offsets, c)
        low, high = others.max(initial=-np.inf) - self.contest.span, others.min(initial=np.inf) + self.contest.span
        always = gap <= low
        self._give(c, rows, rival, always, 1.0)
        inner = np.flatnonzero((gap > low) & (gap < high))
        inner = inner[np.argsort(gap[inner], kind='stable')]
        steps = gap[inner]
        value = self._values(c, rows[inner], rival[inner])
        edges = np.concatenate([[low], steps, [high]])
        now = int(np.searchsorted(steps, self.offsets[c], side='left'))
        closed = np.diff(edges) <= NARROW * self.margin
        closed[now] = False
        value[closed] = -np.inf
        k = self._nearest(value, now)
        gain = float(value[k] - value[now])
        if k != now:
            inset = min(self.margin, (edges[k + 1] - edges[k]) / 2)
            self.offsets[c] = np.clip(self.offsets[c], edges[k] + inset, edges[k + 1] - inset)
            self.shifted[rows, slots] = self.contest.scores[rows, slots] + self.offsets[c]
        taken = np.zeros(len(rows), bool)
        taken[inner[:k]] = True
        self._give(c, rows, rival, taken, 1.0)
        return gain

    def _rivals(self, rows: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much the best other class leads, less the offset of this one, and which class that is."""
        here = np.arange(len(rows))
        others = self.shifted[rows]
        others[here, slots] = -np.inf
        best = others.argmax(1)
        return others[here, best] - self.contest.scores[rows, slots], self.contest.classes[rows, best]

    def _give(self, c: int, rows: np.ndarray, rival: np.ndarray, which: np.ndarray, sign: float) -> None:
        """Count the pixels ``which`` for class ``c`` instead of their rivals (``sign`` 1), or back (-1)."""
        rows, rival = rows[which], rival[which]
        weight, label = sign * self.contest.weight[rows], self.contest.label[rows]
        size = len(self.offsets)
        self.predicted -= np.bincount(rival, weight, size)
        self.predicted[c] += weight.sum()
        self.hits -= np.bincount(rival, weight * (label == rival), size)
        self.hits[c] += (weight * (label == c)).sum()

    def _values(self, c: int, rows: np.ndarray, rival: np.ndarray) -> np.ndarray:
        """Return the objective, less a constant, after ``c`` has taken the first k pixels, ``(len(rows) + 1,)``."""
        weight, label = self.contest.weight[rows], self.contest.label[rows]
        own_hits = self.hits[c] + _running(weight * (label == c))
        own_predicted = self.predicted[c] + _running(weight)
        own = self._iou(np.full(len(rows) + 1, c), own_hits, own_predicted)
        by = np.argsort(rival, kind='stable')
        kind, lost, wrong = rival[by], weight[by], (weight * (label == rival))[by]
        first = np.searchsorted(kind, kind)
        predicted = self.predicted[kind] - _since(lost, first)
        hits = self.hits[kind] - _since(wrong, first)
        after = self._term(kind, hits, predicted)
        change = np.empty(len(rows))
        change[by] = after - self._term(kind, hits + wrong, predicted + lost)
        value = self._term(np.full(len(rows) + 1, c), own_hits, own_predicted) + _running(change)
        if self.worst:
            value += self.worst * self._smallest(c, own, kind, by, self._iou(kind, hits, predicted))
        return value

    def _smallest(self, c: int, own: np.ndarray, kind: np.ndarray, by: np.ndarray, iou: np.ndarray) -> np.ndarray:
        """Return the smallest IoU after each step."""
        classes = np.flatnonzero(self.labels > 0)
        still = self._iou(classes, self.hits[classes], self.predicted[classes])
        smallest = np.minimum(own, still[(classes != c) & ~np.isin(classes, kind)].min(initial=np.inf))
        for j in np.intersect1d(kind, classes):
            here = kind == j
            steps = np.concatenate([[0], by[here] + 1, [len(own)]])
            values = np.concatenate([still[classes == j], iou[here]])
            smallest = np.minimum(smallest, np.repeat(values, np.diff(steps)))
        return smallest

    def _iou(self, c: np.ndarray, hits: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        union = self.labels[c] + predicted - hits
        return np.divide(hits, union, out=np.zeros(len(c)), where=self.labels[c] > 0)

    def _term(self, c: np.ndarray, hits: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        recall = np.divide(hits, self.labels[c], out=np.zeros(len(c)), where=self.labels[c] > 0)
        return self.iou_weight[c] * self._iou(c, hits, predicted) + self.acc_weight[c] * recall

    @staticmethod
    def _nearest(value: np.ndarray, now: int) -> int:
        """Return the place of the largest value; of those that are as large, the one nearest to ``now``."""
        best = np.flatnonzero(value >= value.max() - 1e-12)
        return int(best[np.abs(best - now).argmin()])


def _counts(predicted: np.ndarray, label: np.ndarray, weight: np.ndarray, group: np.ndarray,
            shape: tuple[int, ...]) -> Counts:
    def count(which: np.ndarray, weights: np.ndarray) -> np.ndarray:
        cells = group.astype(np.int64) * shape[1] + which
        return np.bincount(cells, weights, shape[0] * shape[1]).reshape(shape)

    return Counts(count(label, weight * (predicted == label)), count(label, weight), count(predicted, weight))


def _running(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _since(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the running sum of ``values`` that starts anew at each ``first``, this entry included."""
    total = _running(values)
    return total[1:] - total[first]
