"""The phases along y of a strip of up-sampled logits: softmax, loss and slopes, one phase at a time (see geometric.py)."""
from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .cross_entropy import TINY

LOG2_E = math.log2(math.e)  # powers of 2 cost a CPU less than powers of e
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
    loss = torch.empty_like(labels.coefficient)
    own, mass = flat.new_empty(2, loss.shape[1])
    for k in reversed(range(len(loss))):
        at, weight = labels.at[k], labels.coefficient[k]
        torch.index_select(flat, 0, at, out=own)
        shift = _shift(exps, labels, k, adjustment.relief, 0.0)
        if shift is not None:  # the label's logit, and only its, depends on the label
            plain = own.clone()
            flat.index_copy_(0, at, own.mul_(shift.exp_()))
        torch.sum(exps, 1, out=mass.view(len(exps), -1))
        torch.div(mass, own, out=loss[k])
        if adjustment.gamma != 0:
            weight = _focus(loss[k].log_(), weight, adjustment.gamma)
        if sums is not None:
            _collect(exps, weight, mass, labels, k, sums)
        if shift is not None:
            flat.index_copy_(0, at, plain)
        if k:
            exps.mul_(up)
    return _total(loss if adjustment.gamma != 0 else loss.log_(), labels)


def added(last: Tensor, up: Tensor, labels: Labels, adjustment: Adjustment, sums: Tensor | None) -> Tensor:
    """Do the same for logits of any range: add logarithms, and take ``exp`` of every sample below its maximum."""
    exps = torch.empty_like(last)
    flat = exps.view(-1)
    loss = torch.empty_like(labels.coefficient)
    for k in reversed(range(len(loss))):
        torch.add(last, up, alpha=len(loss) - 1 - k, out=exps)
        at, weight = labels.at[k], labels.coefficient[k]
        own = flat.index_select(0, at)
        shift = _shift(exps, labels, k, adjustment.relief, torch.finfo(exps.dtype).min)
        if shift is not None:
            own += shift
            flat.index_copy_(0, at, own)
        most = exps.amax(1, keepdim=True)
        exps.sub_(most).clamp_(min=FLOOR).mul_(LOG2_E).exp2_()
        mass = exps.sum(1).flatten()
        torch.sub(mass.log(), own.sub_(most.flatten()), out=loss[k])
        if adjustment.gamma != 0:
            weight = _focus(loss[k], weight, adjustment.gamma)
        if sums is not None:
            _collect(exps, weight, mass, labels, k, sums)
    return _total(loss, labels)


def _shift(values: Tensor, labels: Labels, k: int, relief: Tensor | None, lowest: float) -> Tensor | None:
    """Return what is added to the label's logit of the ``(P,)`` samples at phase k; the label's ``values`` may be lost."""
    margin = None if labels.shift is None else labels.shift[k]
    if relief is None:
        return margin
    values.view(-1).index_fill_(0, labels.at[k], lowest)
    # argmax over a dimension that is not the last is slow; the largest rank among the largest values is the lowest class
    rank = torch.arange(len(relief), 0, -1, dtype=values.dtype, device=values.device).view(-1, 1)
    strongest = len(relief) - torch.where(values == values.amax(1, keepdim=True), rank, 0).amax(1).long()
    given = relief[strongest.flatten().clamp_(max=len(relief) - 1)]  # where logits are not numbers, none is
    return given if margin is None else given + margin


def _focus(loss: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Turn the cross-entropies of ``(P,)`` samples into focal losses; return the weights times the slopes of the change."""
    share = (-loss).exp()
    miss = (-(-loss).expm1()).clamp_(min=TINY)
    focus = miss.pow(gamma)
    slope = (gamma * focus / miss).mul_(loss).mul_(share).add_(focus)
    loss.mul_(focus)
    return slope.mul_(weight)


def _total(loss: Tensor, labels: Labels) -> Tensor:
    total = loss.mul_(labels.coefficient).sum()
    return total if bool(total.isfinite()) else loss.masked_fill_(labels.coefficient == 0, 0).sum()  # 0 * inf is no number


def _collect(exps: Tensor, weight: Tensor, mass: Tensor, labels: Labels, k: int, sums: Tensor) -> None:
    """Add the gradient of phase k, weighted softmax minus label, to both sums; phase j is in ``times_k`` j times.

    Args:
        exps: Exponentials of the adjusted logits.
        weight: ``(P,)`` weights of the samples.
        mass: ``(P,)`` sums of the exponentials over the classes.
    """
    plain, times_k = sums
    rate = (weight / mass).view(len(exps), 1, -1)
    behind = len(labels.at) - 1 - k  # how many phases have been here
    into = times_k if k and not behind else plain
    if behind == 0:
        torch.mul(exps, rate, out=into)
    elif behind == 1:
        torch.addcmul(times_k, exps, rate, out=plain)
    else:
        plain.addcmul_(exps, rate)
    into.view(-1).scatter_add_(0, labels.at[k], weight.neg())
    if k and behind:
        times_k.add_(plain)
    elif not (k or behind):
        times_k.zero_()
