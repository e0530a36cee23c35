"""One row per registered loss: how it is built, a slow independent oracle, what changes it, what it is exempt from."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmimb.testing.subject import example_stats

STATS = example_stats(4)
PIXELS = np.array(STATS['pixels'], dtype=float)
SOFTMAX = {'binary': 'a softmax needs two channels or more'}
RAW = {'binary': 'one target per class needs two channels or more'}


def log_softmax(z: np.ndarray) -> np.ndarray:
    """log softmax of the ``(C,)`` scores of one pixel, in float64, straight from the definition."""
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def rank(c: int) -> int:
    """1 for the most frequent class, C for the rarest (arXiv 2107.02393)."""
    return 1 + sum(PIXELS[j] > PIXELS[c] or (PIXELS[j] == PIXELS[c] and j < c) for j in range(len(PIXELS)))


def outlying_mse(z: np.ndarray, y: int) -> float:
    target = np.zeros(len(z))
    target[y] = 66 / len(z) * rank(y)
    return ((z - target)**2).mean() / 66


def cross_entropy(z: np.ndarray, y: int) -> float:
    return -log_softmax(z)[y]


@dataclass(frozen=True)
class Case:
    """A row: ``oracle(z, y)`` is the loss of one pixel with ``(C,)`` scores ``z`` and label ``y``."""

    cfg: Mapping[str, Any]
    oracle: Callable[[np.ndarray, int], float]
    sensitive_to: Mapping[str, Any] = field(default_factory=dict)
    exempt: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.cfg['type']).removeprefix('mmimb.')


CASES = [
    Case(dict(type='mmimb.CrossEntropyLoss'), cross_entropy, exempt=SOFTMAX),
    Case(dict(type='mmimb.OutlyingMSELoss', stats=STATS), outlying_mse,
         dict(alpha=6.0, label='log', order='frequent_large', stats=dict(pixels=[1, 2, 3, 4])), RAW),
]
COMMON_ARGUMENTS = dict(class_weight=[0.5, 2.0, 1.0, 3.0], reduction='sum', loss_weight=0.5, ignore_index=0)
