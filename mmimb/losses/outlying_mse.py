"""Losses on raw logits."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checks import number
from ..dispatch import Formula
from ..functional import LABEL_FUNCTIONS, LABEL_ORDERS, outlying_labels, outlying_squared_error
from ..registry import MODELS
from ..stats import ClassStats
from .pixel import PixelLoss

AUTO_TARGET = 66.0  # the papers' settings have alpha * C between 50 and 101


@MODELS.register_module()
class OutlyingMSELoss(PixelLoss):
    """Squared error on raw logits, with larger label values for rarer classes (arXiv 2107.02393).

    Args:
        stats: Class statistics (see :class:`mmimb.stats.ClassStats`).
        alpha: Factor of the label values. A number gives the paper's plain formula (CamVid: 6). ``'auto'`` makes the
            largest label value 66 (``alpha = 66 / C`` for ranks) and divides the loss by it, which keeps the gradient at
            the size of cross-entropy's for any number of classes.
        label: Label value as a function of frequency: ``'rank'`` (paper), ``'log'``, ``'sqrt'`` or ``'uniform'``.
        order: ``'rare_large'`` (paper) or ``'frequent_large'`` (as in one third-party port).
        label_weight: Factor of the squared error at the pixel's own class (k of arXiv 2006.07322); 1 is the paper's.

    Predictions are the argmax of the raw outputs, as in stock mmseg; they are no probabilities.
    """

    vectors = ('labels',)
    labels: Tensor
    activation = 'none'

    def __init__(self, stats: Any, alpha: float | str = 'auto', label: str = 'rank', *, order: str = 'rare_large',
                 label_weight: float = 1.0, **common: Any) -> None:
        if label not in LABEL_FUNCTIONS:
            raise ValueError(f'`label` must be one of {LABEL_FUNCTIONS}, got {label!r}')
        if order not in LABEL_ORDERS:
            raise ValueError(f'`order` must be one of {LABEL_ORDERS}, got {order!r}')
        self.alpha = alpha if alpha == 'auto' else number('alpha', alpha, above=0)
        self.label, self.order = label, order
        self.label_weight = number('label_weight', label_weight, above=0)
        super().__init__(stats, **common)

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        values = outlying_labels(ClassStats.load(source).counts('pixels'), label=self.label, order=self.order)
        factor = AUTO_TARGET / values.max() if isinstance(self.alpha, str) else self.alpha
        return {'labels': factor * values}

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula:
        factor = 1 / AUTO_TARGET if self.alpha == 'auto' else 1.0
        arguments = {'labels': self.vector('labels', logits), 'label_weight': self.label_weight}
        return Formula(outlying_squared_error, arguments, factor)
