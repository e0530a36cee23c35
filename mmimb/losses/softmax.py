"""Losses on the softmax of the logits: a loss turns statistics into class vectors, one formula does the rest."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import number, whole_number
from ..dispatch import Formula
from ..functional import adjusted_cross_entropy, hardest, log_prior, margins, temperatures
from ..registry import MODELS
from ..stats import ClassStats
from .pixel import PixelLoss

MAX_MARGIN, SCALE = 0.5, 30.0  # of LDAM and ELM


class SoftmaxLoss(PixelLoss):
    """A loss that is :func:`mmimb.functional.adjusted_cross_entropy` with the arguments that :meth:`adjustment` gives."""

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        """Return the arguments for ``(N, C, *)`` logits that are not the function's defaults."""
        return {}

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula:
        return Formula(adjusted_cross_entropy, self.adjustment(logits))


@MODELS.register_module()
class CrossEntropyLoss(SoftmaxLoss):
    """Cross-entropy whose class weights survive ignored pixels and whose mean counts valid pixels only."""


@MODELS.register_module()
class ComplementCrossEntropyLoss(SoftmaxLoss):
    """Cross-entropy that also flattens the softmax over the wrong classes (arXiv 2009.02189).

    Args:
        gamma: Factor of the complement entropy. -1 (paper, and the authors' replies) maximises it; the authors' code has the
            opposite sign in effect, which is ``gamma=(C - 1) / C``.

    The loss may be negative.
    """

    def __init__(self, gamma: float = -1.0, **common: Any) -> None:
        self.gamma = number('gamma', gamma)
        super().__init__(**common)

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        return {'complement': self.gamma}


@MODELS.register_module()
class LDAMLoss(SoftmaxLoss):
    """Cross-entropy with larger margins for rarer classes (LDAM, arXiv 1906.07413).

    Args:
        stats: Class statistics (see :class:`mmimb.stats.ClassStats`); only ratios of the pixel counts matter.
        max_margin: Margin of the rarest class; others shrink as ``count ** -0.25``.
        scale: Factor ``s`` of the logits. 30 suits a cosine classifier (``LossHead(classifier='cosine')``); with an ordinary
            one use 1.
    """

    vectors: tuple[str, ...] = ('margin',)
    margin: Tensor

    def __init__(self, stats: Any, max_margin: float = MAX_MARGIN, scale: float = SCALE, **common: Any) -> None:
        self.max_margin = number('max_margin', max_margin, least=0)
        self.scale = number('scale', scale, above=0)
        super().__init__(stats, **common)

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        return {'margin': margins(ClassStats.load(source).counts('pixels'), self.max_margin)}

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        margin = self.vector('margin', logits)
        return {'scale': torch.full_like(margin, self.scale), 'margin': self.scale * margin}


@MODELS.register_module()
class ELMLoss(LDAMLoss):
    """LDAM with the margin of the strongest wrong class given back (enlarged large margin, arXiv 2306.09132).

    Args:
        stats: As for :class:`LDAMLoss`.
        max_margin: As for :class:`LDAMLoss`.
        scale: As for :class:`LDAMLoss`.
        lam: Share of that margin; 0 is LDAM.
    """

    def __init__(self, stats: Any, max_margin: float = MAX_MARGIN, scale: float = SCALE, *, lam: float = 1.0,
                 **common: Any) -> None:
        self.lam = number('lam', lam)
        super().__init__(stats, max_margin, scale, **common)

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        adjustment = super().adjustment(logits)
        return {**adjustment, 'relief': self.lam * adjustment['margin']}


@MODELS.register_module()
class LogitAdjustmentLoss(SoftmaxLoss):
    """Cross-entropy on ``z + tau * log(prior)`` (arXiv 2007.07314).

    Args:
        stats: Class statistics (see :class:`mmimb.stats.ClassStats`).
        tau: Strength; 1 is the balanced softmax, 0 plain cross-entropy.
    """

    vectors = ('bias',)
    bias: Tensor

    def __init__(self, stats: Any, tau: float = 1.0, **common: Any) -> None:
        self.tau = number('tau', tau, least=0)
        super().__init__(stats, **common)

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        return {'bias': self.tau * log_prior(ClassStats.load(source).counts('pixels'))}

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        return {'bias': self.vector('bias', logits)}


@MODELS.register_module()
class VSLoss(SoftmaxLoss):
    """Cross-entropy with a factor and an offset per class (vector scaling, arXiv 2103.01550).

    Args:
        stats: Class statistics (see :class:`mmimb.stats.ClassStats`).
        gamma: Exponent of the factors ``(n / n_max) ** gamma``; 0 leaves logit adjustment.
        tau: Strength of the offsets ``tau * log(prior)``.
    """

    vectors = ('factor', 'bias')
    factor: Tensor
    bias: Tensor

    def __init__(self, stats: Any, gamma: float = 0.2, tau: float = 1.0, **common: Any) -> None:
        self.gamma = number('gamma', gamma, least=0)
        self.tau = number('tau', tau, least=0)
        super().__init__(stats, **common)

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        counts = ClassStats.load(source).counts('pixels')
        return {'factor': temperatures(counts, self.gamma), 'bias': self.tau * log_prior(counts)}

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        return {'scale': self.vector('factor', logits), 'bias': self.vector('bias', logits)}


@MODELS.register_module()
class OhemCrossEntropyLoss(SoftmaxLoss):
    """Cross-entropy on the hardest pixels of the batch (online hard example mining, arXiv 1604.03540).

    Args:
        thresh: Pixels whose label has less than this probability are kept.
        min_kept: At least so many pixels of the batch are kept, the hardest first.

    Pixels that are not kept count as ignored: they have no loss, and the mean divides by the kept ones.
    """

    def __init__(self, thresh: float = 0.7, min_kept: int = 100000, **common: Any) -> None:
        self.thresh = number('thresh', thresh, above=0, most=1)
        self.min_kept = whole_number('min_kept', min_kept, least=1)
        super().__init__(**common)
        if self.sync_avg:
            raise ValueError('`sync_avg` must be False for OhemCrossEntropyLoss (each rank chooses its own pixels), got True')

    @property
    def exempt(self) -> dict[str, str]:
        kept = dict.fromkeys(('mean', 'pixel_weight', 'class_weight'), 'its mean is over the kept pixels')
        return {**super().exempt, **kept, 'sync_avg': 'each rank chooses its own pixels; it refuses the argument'}

    def select(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        confidence = (-F.cross_entropy(logits.detach(), target, reduction='none')).exp()
        return hardest(confidence, valid, thresh=self.thresh, min_kept=self.min_kept)
