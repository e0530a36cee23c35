"""Logit adjustment of a trained head that classifies queries: in the scores of its queries, or in its semantic map."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..functional import log_prior
from ..weights import image_counts

WAYS = ('queries', 'map')
DEFAULT = 'map'  # better on the demo set (docs/heads.md)


def adjust_queries(head: Any, stats: Any, tau: float, way: str = DEFAULT) -> None:
    """Correct a head in place for the shares ``pi`` of images that hold a class.

    Args:
        head: A head of queries.
        stats: Statistics with ``images``.
        tau: Strength.
        way: ``'queries'``: ``tau log(pi)`` is subtracted from the scores of the C classes, not from that of no object, before
            the softmax; masks stay. ``'map'``: the ``(N, C, H, W)`` sums of probabilities times masks are divided by
            ``pi ** tau``.

    Raises:
        ValueError: The statistics hold no numbers of images, or the head has no layer of its own for the scores of queries.
    """
    shift = tau * log_prior(image_counts(stats))
    if way == 'map':
        _scale_map(head, (-shift).exp())
        return
    layer = getattr(head, 'cls_embed', None)
    if not isinstance(layer, nn.Linear) or layer.bias is None or layer.out_features != len(shift) + 1:
        raise ValueError(f'`--query-adjustment` must be map for {type(head).__name__}, which has no layer cls_embed with a '
                         "bias for the scores of its queries, got 'queries'")
    with torch.no_grad():
        layer.bias[:-1] -= shift.to(layer.bias)


def _scale_map(head: Any, factor: Tensor) -> None:
    predict = head.predict

    def scaled(*args: Any, **kwargs: Any) -> Tensor:
        scores: Tensor = predict(*args, **kwargs)
        return scores * factor.to(scores).view(-1, 1, 1)

    head.predict = scaled  # of this instance alone
