"""Losses on the sigmoid of each channel, and the focal loss, which exists for softmax too."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import number
from ..dispatch import Formula
from ..functional import adjusted_cross_entropy, channel_cross_entropy, log_odds_bias, rebalancing
from ..registry import MODELS
from ..stats import ClassStats
from .pixel import PixelLoss


class ChannelLoss(PixelLoss):
    """A loss with a binary problem per channel: a pixel's value is the average over the channels."""

    sigmoid: bool | None = True

    @property
    def exempt(self) -> dict[str, str]:
        channels = {'class_weight': 'its weights belong to channels, not to labels'}
        return {**super().exempt, **(channels if self.sigmoid else {})}

    def _channels(self, logits: Tensor, class_weight: Tensor | None, factor: Tensor | None = None, *, balance: float = 1.0,
                  **arguments: Any) -> Formula:
        """Return the formula; class weights multiply the ``(N, C)`` factors of the channels, if there are several channels."""
        if class_weight is not None and logits.shape[1] > 1:
            channels = class_weight.expand(len(logits), -1)
            factor = channels if factor is None else factor * channels
        return Formula(channel_cross_entropy, arguments, balance, {'factor': factor})


@MODELS.register_module()
class BinaryCrossEntropyLoss(ChannelLoss):
    """Sigmoid cross-entropy, averaged over the channels; takes ``(N, 1, H, W)`` logits too."""

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula:
        return self._channels(logits, class_weight)


@MODELS.register_module()
class FocalLoss(ChannelLoss):
    """Cross-entropy that turns to the pixels which are still wrong (arXiv 1708.02002); runs on any device.

    Args:
        gamma: Focal exponent; 0 is cross-entropy.

    ``use_sigmoid=True`` gives the sigmoid form, averaged over the channels; otherwise it is the softmax form.
    """

    sigmoid = None

    def __init__(self, gamma: float = 2.0, **common: Any) -> None:
        self.gamma = number('gamma', gamma, least=0)
        super().__init__(**common)

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula:
        if not self.sigmoid:
            return Formula(adjusted_cross_entropy, {'gamma': self.gamma})
        return self._channels(logits, class_weight, gamma=self.gamma)


@MODELS.register_module()
class DistributionBalancedLoss(ChannelLoss):
    """Sigmoid loss re-balanced by label co-occurrence and tolerant to negatives (DB, arXiv 2007.09654).

    Args:
        stats: Class statistics (see :class:`mmimb.stats.ClassStats`).
        presence: Where the classes that occur together come from: ``'image'``, the valid pixels of an image or crop (the
            paper's meaning of a sample), or ``'pixel'``, each pixel a sample with one label (works against rare classes).
        counts: ``'images'``: how many images hold a class (paper; wants rare-class sampling where frequent classes are in
            every image). ``'pixels'``: re-balances inside an image.
        alpha: Least re-balancing weight.
        beta: Slope of the smooth map from co-occurrence to weight.
        mu: Centre of the map. Paper: 0.2 on COCO, 0.3 on VOC.
        lam: Negative-tolerance scale. Paper: 2 on COCO, 5 on VOC.
        kappa: Scale of the log-odds bias. The authors' code divides it by ``lam`` (a bug, as they say): ``kappa / lam``.
        gamma: Focal exponent.
        balance: Factor of the loss.
    """

    vectors = ('count', 'bias')
    count: Tensor
    bias: Tensor

    def __init__(self, stats: Any, presence: str = 'image', counts: str = 'images', *, alpha: float = 0.1,
                 beta: float = 10.0, mu: float = 0.2, lam: float = 2.0, kappa: float = 0.05, gamma: float = 2.0,
                 balance: float = 2.0, **common: Any) -> None:
        if presence not in ('image', 'pixel'):
            raise ValueError(f"`presence` must be 'image' or 'pixel', got {presence!r}")
        if counts not in ('images', 'pixels'):
            raise ValueError(f"`counts` must be 'images' or 'pixels', got {counts!r}")
        self.presence, self.counts = presence, counts
        self.smooth_map = {'alpha': number('alpha', alpha, least=0), 'beta': number('beta', beta, above=0),
                           'mu': number('mu', mu)}
        self.lam = number('lam', lam, above=0)
        self.kappa = number('kappa', kappa)
        self.gamma = number('gamma', gamma, least=0)
        self.balance = number('balance', balance, least=0)
        super().__init__(stats, **common)

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        stats = ClassStats.load(source)
        count = stats.counts(self.counts)
        total = sum(stats.pixels) if self.counts == 'pixels' else stats.require('num_images').num_images
        return {'count': count.clamp(min=1), 'bias': log_odds_bias(count, total or 1, self.kappa)}

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula:
        factor, table = self._rebalancing(logits, target, valid)
        return self._channels(logits, class_weight, factor, balance=self.balance, bias=self.vector('bias', logits),
                              lam=self.lam, gamma=self.gamma, table=table)

    @property
    def needs_one_label(self) -> str:
        return 'its factors and offsets belong to the classes of one map'

    @property
    def exempt(self) -> dict[str, str]:
        rows = {'rows': 'rows of pixels have lost which image they belong to, on which the weights depend'}
        binary = {'binary': 'one channel has no classes to balance'}
        return {**super().exempt, **binary, **(rows if self.presence == 'image' else {})}

    def _rebalancing(self, logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of the channels by image, ``(N, C)``, or by label, ``(C, C)``; one of the two is None."""
        if logits.shape[1] == 1:
            raise ValueError('`logits` must have a channel per class for DistributionBalancedLoss (one channel has no classes '
                             f'to balance), got {tuple(logits.shape)}')
        count = self.vector('count', logits)
        if self.presence == 'pixel':
            return None, rebalancing(torch.eye(len(count), dtype=count.dtype, device=count.device), count, **self.smooth_map)
        present = count.new_zeros(len(target), len(count) + 1)  # the last column is for ignored pixels
        present.scatter_(1, target.masked_fill(~valid, len(count)).unsqueeze(-1).flatten(1), 1.0)
        return rebalancing(present[:, :-1], count, **self.smooth_map), None
