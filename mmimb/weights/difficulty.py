"""Weights that follow how well the model does on each class."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import number, whole_number
from ..functional import MEASURES, class_difficulty, difficulty_weights, dynamic_tau
from ..registry import MODELS
from .base import ClassWeight, checked_ratio

DYNAMIC = 'dynamic'
MAX_RATIO = 10.0  # without a cap, a class at recall 0.99 weighs 1/10,000 of one at recall 0


def checked_tau(tau: Any) -> float | str:
    """Return an exponent that the user gives: ``'dynamic'`` or a number of at least 0."""
    return DYNAMIC if tau == DYNAMIC else number('tau', tau, least=0)


def checked_measure(measure: Any) -> str:
    """Return the name of a class score that the user gives."""
    if measure not in MEASURES:
        raise ValueError(f'`measure` must be one of {MEASURES}, got {measure!r}')
    return str(measure)


@MODELS.register_module()
class DifficultyBalanced(ClassWeight):
    """Class-wise difficulty-balanced weights ``d ** tau`` with ``d = 1 - score``, of mean 1 (CDB, arXiv 2010.01824).

    ``ClassWeightHook`` measures the scores during training and says from what; until then all weights are 1. State: the
    buffers ``weight (C,)``, ``difficulty (C,)`` and ``tau ()``, in float64, which are saved in the checkpoint and equal on
    all ranks.

    Args:
        num_classes: Number of classes C; 2 for a head with one channel.
        tau: ``'dynamic'``: the paper's, which grows from 1 to 2 as the best and the worst class drift apart. Or a number.
        measure: Score of a class: ``'recall'`` (the paper's accuracy), ``'iou'`` or ``'f1'``, over pixels.
        max_ratio: Cap of the largest weight over the smallest, at least 1; None is the paper's, without a cap.

    Raises:
        ValueError: An argument is out of its range.

    >>> weight = DifficultyBalanced(3, tau=1)
    >>> weight.update(torch.tensor([0.9, 0.5, 0.1]))
    >>> weight.weight
    tensor([0.2000, 1.0000, 1.8000], dtype=torch.float64)
    """

    vectors = ('weight', 'difficulty', 'tau')
    checkpointed = True
    difficulty: Tensor
    tau: Tensor

    def __init__(self, num_classes: int, tau: float | str = DYNAMIC, measure: str = 'recall', *,
                 max_ratio: float | None = MAX_RATIO) -> None:
        self.num_classes = whole_number('num_classes', num_classes, least=1)
        self.exponent = checked_tau(tau)
        self.measure = checked_measure(measure)
        self.max_ratio = checked_ratio(max_ratio)
        super().__init__()
        self.prepare()

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        ones = torch.ones(self.num_classes, dtype=torch.float64)
        tau = 1.0 if isinstance(self.exponent, str) else self.exponent
        return {'weight': ones, 'difficulty': ones.clone(), 'tau': torch.tensor(tau, dtype=torch.float64)}

    def update(self, score: Tensor) -> None:
        """Take over a measurement.

        A class that is not in it keeps its difficulty and has no part in ``tau`` and in the mean of the weights; its weight
        is at most the largest one in use. A measurement without any class changes nothing.

        Args:
            score: ``(C,)`` scores in [0, 1]; NaN where a class is absent.
        """
        if score.shape != (self.num_classes, ):
            raise ValueError(f'`score` must have the shape ({self.num_classes},), got {tuple(score.shape)}')
        score = score.detach().to(self.difficulty)
        present = ~score.isnan()
        if not bool(present.any()):
            return
        score = torch.where(present, score, 0)
        self.difficulty.copy_(torch.where(present, class_difficulty(score), self.difficulty))
        self.tau.copy_(dynamic_tau(score, present) if isinstance(self.exponent, str) else self.tau.new_tensor(self.exponent))
        self.weight.copy_(difficulty_weights(self.difficulty, present, self.tau, self.max_ratio))
