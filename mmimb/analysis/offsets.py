"""One offset per class, added to the scores of a trained model, for a better decision: found on a held-out split."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
        family: ``'none'``, ``'start'`` (the offsets that the search began with), ``'prior'`` (``-tau log(share)``),
            ``'shrunk'`` or ``'per-class'``; the last three come on top of the start, if there is one.
        tau: Of the prior part, in units of ``unit``; 0 without one.
        strength: Of the shrinkage towards the prior part, in groups; None for ``'none'`` and ``'prior'``.
        gain: Expected gain of the objective over the model as it is, in percent points, from cross-validation over groups.
        interval: 80 % interval of the gain: the spread of a bootstrap over groups, with Student's quantile for the number of
            groups that hold the classes that the gain is made of.
        before: Objective of the model as it is, on all groups, in percent.
        after: Objective after the offsets on the same groups; more than can be expected elsewhere.
        unit: Size of the scores at which their softmax fits the labels best.
        objective: What was maximised.
        candidates: What was compared, from least to most freedom; the gains are those over the start.
        num_groups: Groups of the cross-validation.
        start: What the offsets of the start are worth over the model as it is; None without a start, or if it was dropped.
        dropped: The same of a start that was dropped.
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
    start: Candidate | None = None
    dropped: Candidate | None = None

    @property
    def changed(self) -> bool:
        return self.family != 'none'


def tune(sample: ScoreSample, objective: str | Mapping[str, float] = 'mIoU', *, tail: Sequence[int] = (),
         shares: Sequence[float] | None = None, start: np.ndarray | None = None, folds: int = FOLDS) -> Tuning:
    """Find the offsets per class that maximise ``objective`` on images like those of ``sample``.

    Compared by cross-validation over groups are: no change; ``-tau log(share)`` (arXiv 2007.07314), whose tau may be negative;
    an offset per class, by coordinate ascent; and offsets between these. Of the last, a class that has labels in n groups takes
    ``n / (n + strength)`` of its own offset, and for the rest all, half or nothing of the prior part. The way whose interval of
    the gain begins highest is taken, if that is above 0 and the gain is 0.2 points or more. A class without labels is given no
    chance to win or lose more than the bulk of the pixels.

    With ``start``, "no change" is the model with these offsets, unless the groups speak against them: the whole interval of
    their gain over the model as it is lies below 0.

    Args:
        sample: Scores of a held-out split: see :func:`mmimb.analysis.score_sample.sample_image`.
        objective: ``'mIoU'``, ``'mIoU_tail'``, ``'mAcc'``, ``'worst'``, or a weighted sum: ``'mIoU=0.5,mIoU_tail=0.5'``.
        tail: Class ids of the tail, for ``mIoU_tail``.
        shares: ``(C,)`` class shares or pixel counts of the training split; those of the sample without.
        start: ``(C,)`` offsets that are known to be good without these images, such as :func:`half_of_weights`.
        folds: Parts of the cross-validation, at most one per group.

    Raises:
        ValueError: There are fewer than two groups, no labelled pixel, or an argument does not fit.
    """
    goal = Objective.of(objective, tail)
    labels = np.bincount(sample.label, sample.weight, sample.num_classes)
    log_share = _log_share(labels if shares is None else np.asarray(shares, np.float64), labels)
    unit, zero = _unit(sample), np.zeros(sample.num_classes)
    span = SPAN * unit
    contest = Contest.of(sample, span)
    as_is = contest.counts(zero)
    fold = split_groups(as_is.labels > 0, folds)
    draws = group_draws(sample.num_groups)
    base, begin, worth, dropped = as_is, zero, None, None
    if start is not None:
        begin = _clipped(_checked_start(start, labels), span)
        base = contest.counts(begin)
        worth = measured(Candidate(0.0, None), base, as_is, goal, draws)
        if not begin.any() or worth.interval[1] < 0:
            dropped = worth if begin.any() else None
            base, begin, worth = as_is, zero, None
    begun = contest if worth is None else Contest.of(sample.shifted(begin), span)
    search = _Search(begun, goal, log_share * unit, MARGIN * unit)
    ways = {measured(way, counts, base, goal, draws): counts for way, counts in _cross_validated(search, base, fold).items()}
    best = max(ways, key=lambda way: way.interval[0])
    before = float(goal.value(as_is.sum()))
    result = Tuning(zero, 'none', 0.0, None, 0.0, (0.0, 0.0), before, before, unit, str(goal), tuple(ways), sample.num_groups,
                    worth, dropped)
    if best.interval[0] > 0 and best.gain >= LEAST_GAIN:
        fit = search.fit(np.ones(sample.num_groups, bool))
        offsets, tau = begin + fit.offsets(best), best.anchor * fit.tau + 0.0
        chosen = measured(best, ways[best], as_is, goal, draws)
        result = replace(result, family=best.family, tau=tau, strength=None if best.family == 'prior' else best.strength)
    elif worth is not None:
        offsets, chosen = begin, worth
        result = replace(result, family='start')
    else:
        return result
    offsets = offsets - offsets.mean()
    after = float(goal.value(contest.counts(offsets).sum()))
    return replace(result, offsets=offsets, gain=chosen.gain, interval=chosen.interval, after=after)


def half_of_weights(weight: Sequence[float]) -> np.ndarray:
    """Return the ``(C,)`` offsets that take half of the class weights of cross-entropy back: ``-log(weight) / 2``.

    Class weights ``w`` add ``log w`` to the scores that minimise the loss. A class with the weight 0 counts as one with the
    smallest weight above 0.
    """
    values = np.asarray(weight, np.float64)
    return -0.5 * np.log(np.where(values > 0, values, values[values > 0].min(initial=1.0)))


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
        return _clipped(-tau * self.log_share, self.contest.span)


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


def _clipped(offsets: np.ndarray, span: float) -> np.ndarray:
    """Return ``offsets`` with those cut off that are further than ``span`` / 2 from the middle."""
    middle = (offsets.max() + offsets.min()) / 2
    return np.clip(offsets, middle - span / 2, middle + span / 2)


def _checked_start(start: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the offsets of the start, 0 at the mean pixel."""
    start = np.asarray(start, np.float64)
    if start.shape != labels.shape or not np.isfinite(start).all():
        raise ValueError(f'`start` must be {len(labels)} numbers, got {start!r}')
    return start - labels @ start / labels.sum()


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
