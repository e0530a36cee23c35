"""Shapes: a ``(C,)`` vector against ``(N, C, *)`` logits."""
from __future__ import annotations

from torch import Tensor


def per_class(vector: Tensor, logits: Tensor) -> Tensor:
    """Return ``(C,)`` as ``(1, C, 1, ...)``, ready to broadcast over ``(N, C, *)`` logits."""
    return vector.view((1, -1) + (1,) * (logits.ndim - 2))
