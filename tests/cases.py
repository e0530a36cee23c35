"""One row per registered loss: how it is built, a slow independent oracle, what changes it, what it is exempt from."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmimb.testing.tested_loss import IGNORE, example_stats

STATS = example_stats(4)
PIXELS, IMAGES = (np.array(STATS[k], dtype=float) for k in ('pixels', 'images'))
PRIOR = PIXELS / PIXELS.sum()
OTHER = dict(pixels=[40, 30, 20, 10], images=[4, 3, 2, 1], num_images=9)

# Questions of the contract that a loss declares itself exempt from, with the reasons: see SegLoss.exempt.
SOFTMAX = ('binary', )
CHANNEL = ('class_weight', )
KEPT = ('binary', 'mean', 'pixel_weight', 'class_weight', 'sync_avg')
REGION = ('reductions', 'mean', 'pixel_weight', 'class_weight', 'ohem_sampler', 'sync_avg')


def log_softmax(z: np.ndarray) -> np.ndarray:
    """log softmax of the ``(C,)`` scores of one pixel, in float64, straight from the definition."""
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def rank(c: int) -> int:
    """1 for the most frequent class, C for the rarest (arXiv 2107.02393)."""
    return 1 + sum(PIXELS[j] > PIXELS[c] or (PIXELS[j] == PIXELS[c] and j < c) for j in range(len(PIXELS)))


def outlying_mse(z: np.ndarray, y: int) -> float:
    target = np.zeros(len(z))
    target[y] = 66 / len(z) * rank(y)
    return ((z - target)**2).mean() / 66


def weighted_mse(z: np.ndarray, y: int) -> float:
    target, factor = np.zeros(len(z)), np.ones(len(z))
    target[y], factor[y] = 66 / len(z) * rank(y), 15
    return (factor * (z - target)**2).mean() / 66


def cross_entropy(z: np.ndarray, y: int) -> float:
    return -log_softmax(z)[y]


def focal(z: np.ndarray, y: int) -> float:
    return -(1 - np.exp(log_softmax(z)[y]))**2 * log_softmax(z)[y]


def complement(z: np.ndarray, y: int) -> float:
    p = np.exp(log_softmax(z))
    rest = np.delete(p, y) / (1 - p[y])
    return cross_entropy(z, y) - 1 / (len(z) - 1) * -(rest * np.log(rest)).sum()


def margin(c: int) -> float:
    return 0.5 * PIXELS[c]**-0.25 / (PIXELS**-0.25).max()


def ldam(z: np.ndarray, y: int) -> float:
    return cross_entropy(30 * (z - margin(y) * np.eye(len(z))[y]), y)


def elm(z: np.ndarray, y: int) -> float:
    rival = max((c for c in range(len(z)) if c != y), key=lambda c: z[c])
    return cross_entropy(30 * (z + (margin(rival) - margin(y)) * np.eye(len(z))[y]), y)


def logit_adjustment(z: np.ndarray, y: int) -> float:
    return cross_entropy(z + np.log(PRIOR), y)


def vector_scaling(z: np.ndarray, y: int) -> float:
    return cross_entropy((PIXELS / PIXELS.max())**0.2 * z + np.log(PRIOR), y)


def binary(z: np.ndarray, y: int) -> float:
    return np.mean([-np.log(sigmoid(z[c]) if c == y else 1 - sigmoid(z[c])) for c in range(len(z))])


def binary_focal(z: np.ndarray, y: int) -> float:
    sure = np.array([sigmoid(z[c]) if c == y else 1 - sigmoid(z[c]) for c in range(len(z))])
    return ((1 - sure)**2 * -np.log(sure)).mean()


def per_pixel(oracle: Callable[[np.ndarray, int], float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Map an oracle for one pixel over ``(N, C, H, W)`` scores and ``(N, H, W)`` labels; 0 where ignored."""

    def over_batch(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
        result = np.zeros(target.shape)
        for n, h, w in np.argwhere(target != IGNORE):
            result[n, h, w] = oracle(logits[n, :, h, w], int(target[n, h, w]))
        return result

    return over_batch


def hard_examples(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Cross-entropy of the pixels below a probability of 0.3, or of the 20 hardest if these are more."""
    loss = per_pixel(cross_entropy)(logits, target)
    bound = min(-np.log(0.3), np.sort(loss.ravel())[-20])
    return np.where(loss >= bound, loss, 0)


def distribution_balanced(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Straight from the text: r from the classes of the image, bias from image counts (arXiv 2007.09654)."""
    result = np.zeros(target.shape)
    total = STATS['num_images']
    share = np.clip(IMAGES / total, 0.5 / total, 1 - 0.5 / total)  # class 0 is in every image
    bias = 0.05 * np.log(1 / share - 1)
    for n, h, w in np.argwhere(target != IGNORE):
        present = sorted(set(target[n].ravel().tolist()) - {IGNORE})
        r = (1 / IMAGES) / sum(1 / IMAGES[c] for c in present)
        weight = 0.1 + sigmoid(10 * (r - 0.2))
        for c, v in enumerate(logits[n, :, h, w] - bias):
            if c == target[n, h, w]:
                term = (1 - sigmoid(v))**2 * np.log(1 + np.exp(-v))
            else:
                term = sigmoid(2 * v)**2 * np.log(1 + np.exp(2 * v)) / 2
            result[n, h, w] += 2 * weight[c] * term / len(IMAGES)
    return result


def probabilities(logits: np.ndarray, target: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(P, C)`` probabilities and ``(P,)`` labels of the valid pixels."""
    valid = target != IGNORE
    rows = logits.transpose(0, 2, 3, 1)[valid]
    return (np.array([np.exp(log_softmax(z)) for z in rows]) if kind == 'softmax' else sigmoid(rows)), target[valid]


def tversky(logits: np.ndarray, target: np.ndarray, *, alpha: float = 0.3, beta: float = 0.7,
            kind: str = 'softmax') -> float:
    p, y = probabilities(logits, target, kind)
    terms = []
    for c in range(p.shape[1]):
        tp, fp, fn = p[y == c, c].sum(), p[y != c, c].sum(), (1 - p[y == c, c]).sum()
        if (y == c).any() or (p.argmax(1) == c).any():
            terms.append(1 - (tp + 1e-6) / (tp + alpha * fp + beta * fn + 1e-6))
    return float(np.mean(terms))


def lovasz(logits: np.ndarray, target: np.ndarray, kind: str = 'softmax') -> float:
    """The Choquet integral of the Jaccard loss over the sorted errors, one set at a time."""
    p, y = probabilities(logits, target, kind)
    terms = []
    for c in range(p.shape[1]):
        inside = y == c
        if not inside.any():
            continue
        error = np.where(inside, 1 - p[:, c], p[:, c])
        value, previous, wrong = 0.0, 0.0, np.zeros(len(y), bool)
        for i in np.argsort(-error):
            wrong[i] = True
            jaccard = 1 - (inside & ~wrong).sum() / (inside | wrong).sum()
            value += error[i] * (jaccard - previous)
            previous = jaccard
        terms.append(value)
    return float(np.mean(terms))


@dataclass(frozen=True)
class Case:
    """A row. ``oracle(logits, target)`` gives the ``(N, H, W)`` map of a pixel loss, or the value of a region loss."""

    cfg: Mapping[str, Any]
    oracle: Callable[[np.ndarray, np.ndarray], Any]
    sensitive_to: Mapping[str, Any] = field(default_factory=dict)
    exempt: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = '-sigmoid' if self.cfg.get('use_sigmoid') else '-weighted' if 'label_weight' in self.cfg else ''
        return str(self.cfg['type']).removeprefix('mmimb.') + kind

    @property
    def has_map(self) -> bool:
        return 'reductions' not in self.exempt


CASES = [
    Case(dict(type='mmimb.OutlyingMSELoss', stats=STATS), per_pixel(outlying_mse),
         dict(alpha=6.0, label='log', order='frequent_large', label_weight=3.0, stats=dict(pixels=[1, 2, 3, 4])), SOFTMAX),
    Case(dict(type='mmimb.OutlyingMSELoss', stats=STATS, label_weight=15.0), per_pixel(weighted_mse),
         dict(alpha=6.0, label='log', order='frequent_large', label_weight=1.0, stats=dict(pixels=[1, 2, 3, 4])), SOFTMAX),
    Case(dict(type='mmimb.CrossEntropyLoss'), per_pixel(cross_entropy), exempt=SOFTMAX),
    Case(dict(type='mmimb.FocalLoss'), per_pixel(focal), dict(gamma=0.5), SOFTMAX),
    Case(dict(type='mmimb.ComplementCrossEntropyLoss'), per_pixel(complement), dict(gamma=0.5), SOFTMAX),
    Case(dict(type='mmimb.LDAMLoss', stats=STATS), per_pixel(ldam), dict(max_margin=0.1, scale=1.0, stats=OTHER), SOFTMAX),
    Case(dict(type='mmimb.ELMLoss', stats=STATS), per_pixel(elm),
         dict(max_margin=0.1, scale=1.0, lam=0.5, stats=OTHER), SOFTMAX),
    Case(dict(type='mmimb.LogitAdjustmentLoss', stats=STATS), per_pixel(logit_adjustment), dict(tau=0.5, stats=OTHER), SOFTMAX),
    Case(dict(type='mmimb.VSLoss', stats=STATS), per_pixel(vector_scaling), dict(gamma=0.1, tau=0.5, stats=OTHER), SOFTMAX),
    Case(dict(type='mmimb.OhemCrossEntropyLoss', thresh=0.3, min_kept=20), hard_examples, dict(thresh=0.6, min_kept=40),
         KEPT),
    Case(dict(type='mmimb.BinaryCrossEntropyLoss'), per_pixel(binary), exempt=CHANNEL),
    Case(dict(type='mmimb.FocalLoss', use_sigmoid=True), per_pixel(binary_focal), dict(gamma=0.5), CHANNEL),
    Case(dict(type='mmimb.DistributionBalancedLoss', stats=STATS), distribution_balanced,
         dict(presence='pixel', counts='pixels', alpha=0.2, beta=5.0, mu=0.3, lam=5.0, kappa=0.1, gamma=1.0, balance=1.0,
              stats=OTHER),
         (*CHANNEL, 'binary', 'rows')),
    Case(dict(type='mmimb.DiceLoss'), lambda z, y: tversky(z, y, alpha=0.5, beta=0.5), {}, SOFTMAX + REGION),
    Case(dict(type='mmimb.DiceLoss', use_sigmoid=True), lambda z, y: tversky(z, y, alpha=0.5, beta=0.5, kind='sigmoid'),
         {}, REGION),
    Case(dict(type='mmimb.TverskyLoss'), tversky, dict(alpha=0.6, beta=0.2, gamma=0.75), SOFTMAX + REGION),
    Case(dict(type='mmimb.TverskyLoss', use_sigmoid=True), lambda z, y: tversky(z, y, kind='sigmoid'),
         dict(alpha=0.6, beta=0.2, gamma=0.75), REGION),
    Case(dict(type='mmimb.LovaszLoss'), lovasz, {}, SOFTMAX + REGION),
    Case(dict(type='mmimb.LovaszLoss', use_sigmoid=True), lambda z, y: lovasz(z, y, 'sigmoid'), {}, REGION),
]
# Losses on queries, asked in tests/test_query_loss.py: their batches have one channel more than there are classes.
QUERY_CASES = [
    Case(dict(type='mmimb.QueryCrossEntropyLoss', stats=STATS, tau=0.5), per_pixel(cross_entropy), exempt=(
        'binary', 'points', 'positional', 'ohem_sampler', 'mean', 'pixel_weight', 'class_weight', 'class_weight_ones',
        'avg_factor')),
]
COMMON_ARGUMENTS = dict(class_weight=[0.5, 2.0, 1.0, 3.0], reduction='sum', loss_weight=0.5, ignore_index=0)
