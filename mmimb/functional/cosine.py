"""Cosines between features and class directions: a classifier in which no class wins by the size of its weights."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHORTEST = 1e-6  # a shorter vector has no direction: cosine 0, gradient 0


def cosine_scores(feat: Tensor, weight: Tensor) -> Tensor:
    r"""Return :math:`\frac{w_c}{\|w_c\|} \cdot \frac{x}{\|x\|}` for every pixel ``x`` and class ``c``.

    Args:
        feat: ``(N, D, H, W)`` features.
        weight: ``(C, D, 1, 1)`` class directions of any length.

    Returns:
        ``(N, C, H, W)`` cosines in ``[-1, 1]``, up to rounding; 0, without gradient, where a vector is shorter than 1e-6.
    """
    scores = F.conv2d(feat, weight * _inverse_length(weight))
    return scores * _inverse_length(feat)


def _inverse_length(vectors: Tensor) -> Tensor:
    """Return ``(N, 1, H, W)`` reciprocal lengths of ``(N, D, H, W)`` vectors; 0 for those without a direction."""
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return torch.where(length > SHORTEST, 1 / length.clamp(min=SHORTEST), 0)
