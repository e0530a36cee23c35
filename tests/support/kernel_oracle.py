"""Weighted sums of losses of up-sampled logits in float64, from the formulas, with gradients by autograd."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blend(small: int, large: int, align_corners: bool) -> Tensor:
    """Bilinear weights as a hat around every point: (large, small)."""
    place = torch.arange(large, dtype=torch.float64)
    place = place * (small - 1) / max(large - 1, 1) if align_corners else (place + 0.5) * small / large - 0.5
    distance = place.clamp(0, small - 1)[:, None] - torch.arange(small, dtype=torch.float64)
    return (1 - distance.abs()).clamp(min=0)


def up(logits: Tensor, target: Tensor, align_corners: bool) -> Tensor:
    (h, w), (height, width) = logits.shape[2:], target.shape[1:]
    return blend(h, height, align_corners) @ logits.double() @ blend(w, width, align_corners).T


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype))


def each(vector: Tensor | None, other: float) -> Tensor | float:
    return other if vector is None else vector.double().view(1, -1, 1, 1)


def cross_entropy(logits, target, coefficient, *, align_corners=False, scale=None, bias=None, margin=None, relief=None,
                  gamma=0.0, complement=0.0) -> Tensor:
    z = up(logits, target, align_corners)
    label = F.one_hot(target, z.shape[1]).movedim(-1, 1).bool()
    adjusted = z * each(scale, 1) + each(bias, 0)
    wrong = adjusted.masked_fill(label, -torch.inf).logsumexp(1)
    gap = wrong - (adjusted * label).sum(1)
    if margin is not None:
        gap = gap + margin.double()[target]
    if relief is not None:
        gap = gap - relief.double()[z.detach().masked_fill(label, -torch.inf).argmax(1)]
    loss = softplus(gap)  # -log p of the label
    if gamma:
        loss = torch.sigmoid(gap) ** gamma * loss
    if complement:
        log_p = (adjusted - wrong[:, None]).masked_fill(label, 0)
        entropy = -(log_p.exp().masked_fill(label, 0) * log_p).sum(1)
        loss = loss + complement / (z.shape[1] - 1) * entropy
    return (coefficient.double() * loss).sum()


def squared_error(logits, target, coefficient, *, labels, label_weight=1.0, align_corners=False) -> Tensor:
    z = up(logits, target, align_corners)
    own = F.one_hot(target, z.shape[1]).movedim(-1, 1)
    factor = torch.where(own.bool(), label_weight, 1.0)
    return (coefficient.double() * (factor * (z - own * each(labels, 0)) ** 2).mean(1)).sum()


def binary_cross_entropy(logits, target, coefficient, *, align_corners=False, bias=None, lam=1.0, gamma=0.0, factor=None,
                         table=None) -> Tensor:
    v = up(logits, target, align_corners) - each(bias, 0)
    positive = F.one_hot(target, max(v.shape[1], 2)).movedim(-1, 1).bool()[:, -v.shape[1]:]
    right = torch.sigmoid(-v) ** gamma * softplus(-v)
    wrong = torch.sigmoid(lam * v) ** gamma * softplus(lam * v) / lam
    loss = torch.where(positive, right, wrong)
    if factor is not None:
        loss = loss * factor.double()[:, :, None, None]
    if table is not None:
        loss = loss * table.double()[target].movedim(-1, 1)
    return (coefficient.double() * loss.mean(1)).sum()
