"""The phases along y of a strip of up-sampled logits: softmax, loss and slopes, one phase at a time (see geometric.py)."""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .cross_entropy import TINY

FLOOR = -60.0  # its exponential counts for nothing beside 1; below it, numbers become denormal, with which CPUs are slow


class Adjustment(NamedTuple):
    """What a loss adds to plain cross-entropy; see :func:`mmimb.functional.adjusted_cross_entropy`."""

    scale: Tensor | None = None
    bias: Tensor | None = None
    margin: Tensor | None = None
    relief: Tensor | None = None
    gamma: float = 0.0

    def largest_shift(self) -> float:
        """Return the most by which margin and relief can change the logit of a label."""
        return sum(float(v.abs().max()) for v in (self.margin, self.relief) if v is not None)


class Labels(NamedTuple):
    """The labels of a strip by phase along y; P is the number of its cells times the phases along x."""

    at: Tensor  # (phases, P) index of the label's entry in a flat array of the strip
    coefficient: Tensor  # (phases, P)
    shift: Tensor | None  # (phases, P) minus the margin


def multiplied(exps: Tensor, up: Tensor, labels: Labels, adjustment: Adjustment, sums: Tensor | None) -> Tensor:
    """Walk up the phases along y, multiplying exponentials; return the loss of the strip, and fill ``sums`` if given."""
    flat = exps.view(-1)
    total = torch.zeros((), dtype=torch.float64)
    for k in reversed(range(len(labels.at))):
        at = labels.at[k]
        own = plain = flat.index_select(0, at)
        shift = _shift(exps, labels, k, adjustment.relief, 0.0)
        if shift is not None:  # the label's logit, and only its, depends on the label
            own = plain * shift.exp_()
            flat.index_copy_(0, at, own)
        mass = exps.sum(1).flatten()
        total += _collect(exps, mass, (mass / own).log_(), labels, k, adjustment.gamma, sums)
        if shift is not None:
            flat.index_copy_(0, at, plain)
        if k:
            exps.mul_(up)
    return total


def added(last: Tensor, up: Tensor, labels: Labels, adjustment: Adjustment, sums: Tensor | None) -> Tensor:
    """Do the same for logits of any range: add logarithms, and take ``exp`` of every sample below its maximum."""
    exps = torch.empty_like(last)
    flat = exps.view(-1)
    total = torch.zeros((), dtype=torch.float64)
    for k in reversed(range(len(labels.at))):
        torch.add(last, up, alpha=len(labels.at) - 1 - k, out=exps)
        at = labels.at[k]
        own = flat.index_select(0, at)
        shift = _shift(exps, labels, k, adjustment.relief, torch.finfo(exps.dtype).min)
        if shift is not None:
            own += shift
            flat.index_copy_(0, at, own)
        most = exps.amax(1, keepdim=True)
        exps.sub_(most).clamp_(min=FLOOR).exp_()
        mass = exps.sum(1).flatten()
        own -= most.flatten()
        total += _collect(exps, mass, mass.log().sub_(own), labels, k, adjustment.gamma, sums)
    return total


def _shift(values: Tensor, labels: Labels, k: int, relief: Tensor | None, lowest: float) -> Tensor | None:
    """Return what is added to the label's logit of the ``(P,)`` samples at phase k; the label's ``values`` may be lost."""
    margin = None if labels.shift is None else labels.shift[k]
    if relief is None:
        return margin
    values.view(-1).index_fill_(0, labels.at[k], lowest)
    # argmax over a dimension that is not the last is slow; the largest rank among the largest values is the lowest class
    rank = torch.arange(len(relief), 0, -1, dtype=values.dtype).view(-1, 1)
    strongest = len(relief) - torch.where(values == values.amax(1, keepdim=True), rank, 0).amax(1).long()
    given = relief[strongest.flatten()]
    return given if margin is None else given + margin


def _collect(exps: Tensor, mass: Tensor, loss: Tensor, labels: Labels, k: int, gamma: float, sums: Tensor | None) -> Tensor:
    """Return the weighted loss of phase k and add its gradient, softmax minus label, to both sums.

    Args:
        exps: Exponentials of the adjusted logits.
        mass: ``(P,)`` their sums over the classes.
        loss: ``(P,)`` minus the logarithms of the labels' shares.
    """
    weight = labels.coefficient[k]
    if gamma != 0:
        miss = (-(-loss).expm1()).clamp_(min=TINY)
        focus = miss.pow(gamma)
        total = (focus * loss).mul_(weight).sum()
        weight = weight * (focus + gamma * focus / miss * loss * (-loss).exp())  # d(focus * loss) / d(loss)
    else:
        total = (weight * loss).sum()
    if sums is not None:
        plain, times_k = sums
        rate = (weight / mass).view(len(exps), 1, -1)
        begins = k == len(labels.at) - 1  # phases come last first
        torch.mul(exps, rate, out=plain) if begins else plain.addcmul_(exps, rate)
        plain.view(-1).index_add_(0, labels.at[k], weight, alpha=-1)
        if k:  # phase j has been in k = 1 ... j of these, thus j times
            times_k.copy_(plain) if begins else times_k.add_(plain)
        elif begins:
            times_k.zero_()
    return total
