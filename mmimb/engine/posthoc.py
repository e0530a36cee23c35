"""Correcting the classifier of a trained model for class imbalance, without training."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..checks import number
from ..functional import log_prior
from ..heads import (
    CosineClassifier,
    activation,
    classifies_queries,
    head_losses,
    last_head,
    loss_scale,
    unwrapped,
    uses_cls_seg,
)
from ..scan.sources import dataset_classes
from ..stats import ClassStats
from .posthoc_queries import DEFAULT, WAYS, adjust_queries


@dataclass(frozen=True)
class Correction:
    """A correction of the classifier of the last decode head: one of two, or none.

    Args:
        logit_adjustment: tau of ``z - tau log(prior)`` (arXiv 2007.07314). 1 corrects for the class frequencies in full; a
            negative one takes back a part of what class weights have moved: -0.25 is half of InverseFrequency(power=0.5).
        tau_normalization: tau of ``w_c / ||w_c||^tau`` (arXiv 1910.09217). The paper has no bias; here the bias is divided
            too, so that 0 changes nothing and the result does not depend on the scale of the features.
        stats: The class frequencies that the model was trained on, for the logit adjustment.
        queries: For heads of queries, where the logit adjustment acts (see :func:`adjust_queries`); it uses the numbers of
            images that hold a class.

    Both are for softmax losses only; models trained on others are refused. Sigmoid losses compare each class with all others
    and have no common prior. Raw outputs are no log-probabilities, and the norms of their weights follow from their targets.

    Raises:
        ValueError: Both are given, a tau is not finite, that of the norms is negative, or one of ``stats`` and
            ``logit_adjustment`` is missing.
    """

    logit_adjustment: float | None = None
    tau_normalization: float | None = None
    stats: Any = None
    queries: str | None = None

    def __post_init__(self) -> None:
        if self.logit_adjustment is not None and self.tau_normalization is not None:
            raise ValueError('`--logit-adjustment` must be without --tau-normalization (each is a correction of its own), '
                             'got both')
        if (self.stats is None) != (self.logit_adjustment is None):
            raise ValueError('`--stats` must come with --logit-adjustment, and that with it: the report of the training '
                             f'split, got {self.stats!r}')
        if self.queries is not None and (self.queries not in WAYS or self.logit_adjustment is None):
            rule = f'one of {WAYS}' if self.queries not in WAYS else 'with --logit-adjustment'
            raise ValueError(f'`--query-adjustment` must be {rule}, got {self.queries!r}')
        if self.logit_adjustment is not None:
            number('--logit-adjustment', self.logit_adjustment)
        if self.tau_normalization is not None:
            number('--tau-normalization', self.tau_normalization, least=0)
        if self.stats is not None:
            object.__setattr__(self, 'stats', ClassStats.load(self.stats))

    def __bool__(self) -> bool:
        return self.logit_adjustment is not None or self.tau_normalization is not None

    def apply(self, model: nn.Module, classes: Sequence[str] | None = None) -> list[str]:
        """Change the classifier of ``model`` (wrapped or not) in place.

        Args:
            model: A segmentor with its weights loaded.
            classes: The class names of the dataset that it is tested on.

        Returns:
            Notices for the log: the training has corrected for the imbalance already.

        Raises:
            ValueError: The model has no classifier that can be corrected, or the statistics are of other classes.
        """
        if not self:
            return []
        option = '--tau-normalization' if self.logit_adjustment is None else '--logit-adjustment'
        head = last_head(unwrapped(model))
        if self.logit_adjustment is not None and classifies_queries(head):
            adjust_queries(head, self.stats.fit(head.num_classes, classes, 'the model'), self.logit_adjustment,
                           self.queries or DEFAULT)
            return [notice for loss in head_losses(head) for notice in _notices(loss) if self.logit_adjustment > 0]
        if self.queries is not None:
            raise ValueError(f'`--query-adjustment` must meet a head that classifies queries, got {type(head).__name__}')
        conv = _classifier(head, option)
        losses = head_losses(head)
        for loss in losses:
            if activation(loss) != 'softmax':
                raise ValueError(f'`{option}` must be given for a model that was trained on a softmax loss, '
                                 f'got {type(loss).__name__}')
        if self.logit_adjustment is None:
            normalize_classifier(conv, self.tau_normalization or 0.0)
        else:
            stats = self.stats.fit(conv.out_channels, classes, 'the model')
            scale = loss_scale(losses[0]) if losses else None
            adjust_classifier(conv, stats, self.logit_adjustment / (scale or 1.0))
        takes_back = self.logit_adjustment is not None and self.logit_adjustment < 0
        return [] if takes_back else [notice for loss in losses for notice in _notices(loss)]


def adjust_classifier(conv: nn.Conv2d, stats: ClassStats, tau: float) -> None:
    """Subtract ``tau log(prior)`` from the scores. It is a constant per class, so up-sampling does not change it."""
    shift = tau * log_prior(stats.counts('pixels')).to(conv.weight.device)
    with torch.no_grad():
        bias = -shift if conv.bias is None else conv.bias - shift
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype))


def normalize_classifier(conv: nn.Conv2d, tau: float) -> None:
    """Divide the scores of each class by the norm of its weights to the power ``tau``; a class with zero weights stays."""
    with torch.no_grad():
        norm = conv.weight.double().flatten(1).norm(dim=1)
        factor = torch.where(norm > 0, norm, 1).pow(-tau)
        conv.weight.copy_(conv.weight * factor.view(-1, 1, 1, 1))
        if conv.bias is not None:
            conv.bias.copy_(conv.bias * factor)


def correction_hook(correction: Correction) -> Any:
    """Return a hook that applies ``correction`` before a test, after the weights are loaded and averaged (EMA)."""
    from mmengine.hooks import Hook

    class CorrectionHook(Hook):
        priority = 'LOWEST'

        def before_test_epoch(self, runner: Any) -> None:
            for notice in correction.apply(runner.model, dataset_classes(runner.test_dataloader.dataset)):
                runner.logger.warning(notice)

    return CorrectionHook()


def _classifier(head: Any, option: str) -> nn.Conv2d:
    conv = getattr(head, 'conv_seg', None)
    if isinstance(conv, CosineClassifier):
        reason = 'a cosine classifier, whose weights count as normalised and which has no bias'
    elif head is None:
        reason = 'a model without one'
    elif type(conv) is not nn.Conv2d or conv.kernel_size != (1, 1) or not uses_cls_seg(type(head)):
        reason = f'{type(head).__name__}, which classifies in another way'
    else:
        return conv
    raise ValueError(f'`{option}` must meet a last decode head with a plain conv_seg (a 1x1 convolution), got {reason}')


def _notices(loss: nn.Module) -> list[str]:
    name, tau = type(loss).__name__, getattr(loss, 'tau', None)
    found = []
    if isinstance(tau, (int, float)) and tau:
        found.append(f'{name}(tau={tau:g}) has corrected for the class frequencies in training; this correction adds to it')
    if getattr(loss, 'class_weight', None) is not None:
        found.append(f'the class_weight of {name} has shifted the class frequencies in training; this correction adds to it')
    return found
