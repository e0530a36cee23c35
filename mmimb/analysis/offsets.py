"""One offset per class, added to the scores of a trained model, for a better decision: found on a held-out split."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .offset_evidence import Candidate, group_draws, measured, split_groups
from .offset_objective import Counts, Objective
from .offset_search import Contest, ascend
from .score_sample import ScoreSample

SPAN = 8.0  # units between the largest and the smallest offset
MARGIN = 0.05  # units: see ascend
TAUS = np.arange(-1.5, 1.51, 0.125)
ANCHORS = (0.0, 0.5, 1.0)  # of the prior part, to which offsets are shrunk
STRENGTHS = (math.inf, 30.0, 10.0, 3.0, 1.0)  # groups with a class at which its own offset has half a say
FOLDS = 5
LEAST_GAIN = 0.2  # percent points, below which a model is not worth changing
CALIBRATION_PIXELS = 100_000


@dataclass(frozen=True)
class Tuning:
    """Offsets and what is known about them.

    Args:
        offsets: ``(C,)`` float64, to be added to the scores; all 0 if nothing is better.
        family: ``'none'``, ``'prior'`` (``-tau log(share)``), ``'shrunk'`` or ``'per-class'``.
        tau: Of the prior part, in units of ``unit``; 0 without one.
        strength: Of the shrinkage towards the prior part, in groups; None for ``'none'`` and ``'prior'``.
        gain: Expected gain of the objective in percent points, from cross-validation over groups.
        interval: 80 % interval of the gain: the spread of a bootstrap over groups, with Student's quantile for the number of
            groups that hold the classes that the gain is made of.
        before: Objective of the model as it is, on all groups, in percent.
        after: Objective after the offsets on the same groups; more than can be expected elsewhere.
        unit: Size of the scores at which their softmax fits the labels best.
        objective: What was maximised.
        candidates: What was compared, from least to most freedom.
        num_groups: Groups of the cross-validation.
    """

    offsets: np.ndarray
    family: str
    tau: float
    strength: float | None
    gain: float
    interval: tuple[float, float]
    before: float
    after: float
    unit: float
    objective: str
    candidates: tuple[Candidate, ...]
    num_groups: int

    @property
    def changed(self) -> bool:
        return self.family != 'none'


def tune(sample: ScoreSample, objective: str | Mapping[str, float] = 'mIoU', *, tail: Sequence[int] = (),
         shares: Sequence[float] | None = None, folds: int = FOLDS) -> Tuning:
    """Find the offsets per class that maximise ``objective`` on images like those of ``sample``.

    Compared by cross-validation over groups are: no change; ``-tau log(share)`` (arXiv 2007.07314), whose tau may be negative;
    an offset per class, by coordinate ascent; and offsets between these. Of the last, a class that has labels in n groups takes
    ``n / (n + strength)`` of its own offset, and for the rest all, half or nothing of the prior part. The way whose interval of
    the gain begins highest is taken, if that is above 0 and the gain is 0.2 points or more. A class without labels is given no
    chance to win or lose more than the bulk of the pixels.

    Args:
        sample: Scores of a held-out split: see :func:`mmimb.analysis.score_sample.sample_image`.
        objective: ``'mIoU'``, ``'mIoU_tail'``, ``'mAcc'``, ``'worst'``, or a weighted sum: ``'mIoU=0.5,mIoU_tail=0.5'``.
        tail: Class ids of the tail, for ``mIoU_tail``.
        shares: ``(C,)`` class shares or pixel counts of the training split; those of the sample without.
        folds: Parts of the cross-validation, at most one per group.

    Raises:
        ValueError: There are fewer than two groups, no labelled pixel, or an argument does not fit.
    """
    goal = Objective.of(objective, tail)
    labels = np.bincount(sample.label, sample.weight, sample.num_classes)
    log_share = _log_share(labels if shares is None else np.asarray(shares, np.float64), labels)
    unit = _unit(sample)
    contest = Contest.of(sample, SPAN * unit)
    base = contest.counts(np.zeros(sample.num_classes))
    search = _Search(contest, goal, log_share * unit, MARGIN * unit)
    fold = split_groups(base.labels > 0, folds)
    draws = group_draws(sample.num_groups)
    ways = [measured(way, counts, base, goal, draws) for way, counts in _cross_validated(search, base, fold).items()]
    best = max(ways, key=lambda way: way.interval[0])
    before = float(goal.value(base.sum()))
    if not (best.interval[0] > 0 and best.gain >= LEAST_GAIN):
        return Tuning(np.zeros(sample.num_classes), 'none', 0.0, None, 0.0, (0.0, 0.0), before, before, unit, str(goal),
                      tuple(ways), sample.num_groups)
    fit = search.fit(np.ones(sample.num_groups, bool))
    offsets = fit.offsets(best)
    offsets = offsets - offsets.mean()
    after = float(goal.value(contest.counts(offsets).sum()))
    strength = None if best.family == 'prior' else best.strength
    return Tuning(offsets, best.family, best.anchor * fit.tau + 0.0, strength, best.gain, best.interval, before, after, unit,
                  str(goal), tuple(ways), sample.num_groups)


@dataclass(frozen=True)
class _Fit:
    """What a set of groups says: the best tau, the offsets of both families, and the groups with each class."""

    tau: float
    prior: np.ndarray
    own: np.ndarray
    present: np.ndarray

    def offsets(self, way: Candidate) -> np.ndarray:
        anchor = way.anchor * self.prior
        share = np.where(self.present > 0, self.present / np.maximum(self.present + way.strength, 1), 0)
        return anchor + share * (self.own - anchor)


@dataclass(frozen=True)
class _Search:
    contest: Contest
    goal: Objective
    log_share: np.ndarray
    margin: float

    def fit(self, groups: np.ndarray) -> _Fit:
        part = self.contest.only(groups)
        labels = part.counts(np.zeros(len(self.log_share))).labels
        values = [float(self.goal.value(part.counts(self._prior(tau)).sum())) for tau in TAUS]
        best = max(range(len(TAUS)), key=lambda i: (values[i], -abs(TAUS[i])))
        prior = self._prior(TAUS[best])
        own = ascend(part, self.goal, prior, margin=self.margin)
        bulk = labels.sum(0) / labels.sum()  # the mean pixel is neither shifted by the one nor by the other
        return _Fit(float(TAUS[best]), prior - bulk @ prior, own - bulk @ own, (labels > 0).sum(0))

    def _prior(self, tau: float) -> np.ndarray:
        offsets = -tau * self.log_share
        half = self.contest.span / 2
        middle = (offsets.max() + offsets.min()) / 2
        return np.clip(offsets, middle - half, middle + half)


def _cross_validated(search: _Search, base: Counts, fold: np.ndarray) -> dict[Candidate, Counts]:
    """Return for each way the ``(G, C)`` counts of groups under offsets that were found on the groups of other folds."""
    ways = [Candidate(anchor, strength) for strength in STRENGTHS for anchor in ANCHORS if anchor or strength < math.inf]
    found = {way: Counts(*np.zeros((3, *base.hits.shape))) for way in (*ways, Candidate(1.0, 0.0))}
    for number in np.unique(fold):
        out = fold == number
        fit, part = search.fit(~out), search.contest.only(out)
        for way, counts in found.items():
            found[way] = counts + part.counts(fit.offsets(way))
    return found


def _log_share(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the ``(C,)`` log shares, 0 at the mean pixel, and at classes that have no label or no share."""
    if shares.shape != labels.shape or not (np.isfinite(shares).all() and (shares >= 0).all()):
        raise ValueError(f'`shares` must be {len(labels)} numbers of at least 0, got {shares!r}')
    if not labels.sum() > 0:
        raise ValueError('`sample` must hold a labelled pixel, got none')
    known = (shares > 0) & (labels > 0)
    log_share = np.log(np.where(known, shares, 1))
    return np.where(known, log_share - (labels @ log_share) / labels[known].sum(), 0.0)


def _unit(sample: ScoreSample) -> float:
    """Return the size s for which ``softmax(scores / s)`` has the largest likelihood: 1 for a calibrated network."""
    step = max(1, len(sample) // CALIBRATION_PIXELS)
    scores, weight = sample.scores[::step].astype(np.float64), sample.weight[::step]
    here = (sample.classes[::step] == sample.label[::step, None]) & (scores > -np.inf)
    lowest = np.where(scores > -np.inf, scores, np.inf).min(1)
    own = np.where(here.any(1), np.where(here, scores, 0).sum(1), lowest) - scores[:, 0]
    lead = scores - scores[:, :1]

    def loss(power: float) -> float:
        factor = 2.0 ** -power
        return float(weight @ (np.log(np.exp(factor * lead).sum(1)) - factor * own))

    powers = np.arange(-10.0, 10.1)
    best = powers[int(np.argmin([loss(power) for power in powers]))]
    fine = best + np.arange(-0.9, 1, 0.1)
    return float(2.0 ** fine[int(np.argmin([loss(power) for power in fine]))])
