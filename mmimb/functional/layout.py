"""The channels of ``(N, C, *)`` logits: a ``(C,)`` vector against them, and the largest of them."""
from __future__ import annotations

import torch
from torch import Tensor


def per_class(vector: Tensor, logits: Tensor) -> Tensor:
    """Return ``(C,)`` as ``(1, C, 1, ...)``, ready to broadcast over ``(N, C, *)`` logits."""
    return vector.view((1, -1) + (1,) * (logits.ndim - 2))


def first_largest(scores: Tensor) -> Tensor:
    """Return the ``(N, *)`` int64 ``scores.argmax(1)`` of ``(N, C, *)`` scores, none of them NaN; 0 where one is.

    A CPU is faster with one pass per channel than with ``argmax`` over a dimension that is not the last.
    """
    scores = scores.detach()
    if scores.device.type != 'cpu' or torch.compiler.is_compiling():
        return scores.argmax(1)
    largest = scores.amax(1)
    winner = torch.zeros_like(largest, dtype=torch.int64)
    for channel in reversed(range(scores.shape[1])):  # so that the first of equal ones has the last word
        winner.masked_fill_(scores[:, channel] == largest, channel)
    return winner
