"""The walk over the rows of a strip: softmax, loss and gradient of one phase along y at a time (see walk.py).

Arrays named ``exps`` and ``sums`` have the shape ``(phases along x, C, cells)``. They hold the ``P`` = phases along x × cells
samples of one phase along y.
"""
from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .cross_entropy import TINY

LOG2_E = math.log2(math.e)  # powers of 2 cost a CPU less than powers of e
FLOOR = -60.0  # exp(-60) + 1 == 1; smaller exponentials become denormal numbers, with which CPUs are slow


class Adjustment(NamedTuple):
    """The arguments of :func:`mmimb.functional.adjusted_cross_entropy`."""

    scale: Tensor | None = None
    bias: Tensor | None = None
    margin: Tensor | None = None
    relief: Tensor | None = None
    gamma: float = 0.0
    complement: float = 0.0

    def largest_shift(self) -> float:
        """Return the most by which margin and relief can change the logit of a label."""
        return sum(float(v.abs().max()) for v in (self.margin, self.relief) if v is not None)


class Labels(NamedTuple):
    """What is known of the labels of a strip, by phase along y."""

    at: Tensor  # (phases, P) where the label's entry is in `exps.view(-1)`
    coefficient: Tensor  # (phases, P) factors of the losses
    shift: Tensor | None  # (phases, P) minus the label's margin


def multiplied(exps: Tensor, up: Tensor, labels: Labels, adjustment: Adjustment, sums: Tensor | None) -> Tensor:
    r"""Return the loss of a strip, going from the last phase along y to the first by multiplication.

    Args:
        exps: Exponentials of the logits at the last phase; overwritten.
        up: What they are multiplied by to get those of the phase before.
        labels: Of the strip.
        adjustment: Of the loss; scale and bias are applied already.
        sums: Two arrays to fill with :math:`\sum_k g_k` and :math:`\sum_k k g_k`, where :math:`g_k` is the gradient at phase k;
            None if no gradient is needed.
    """
    flat = exps.view(-1)
    loss = torch.empty_like(labels.coefficient)
    own, mass = flat.new_empty(2, loss.shape[1])
    for k in reversed(range(len(loss))):
        at, weight = labels.at[k], labels.coefficient[k]
        torch.index_select(flat, 0, at, out=own)
        shift = _shift(exps, labels, k, adjustment.relief, 0.0)
        if shift is not None:  # changes the label's logit alone; taken back below, for the phase before has other labels
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
    """Return the same for logits of any range: ``last`` and ``up`` are logarithms, and ``exp`` is taken at every sample."""
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
    """Return what is added to the labels' logits at phase k: ``(P,)`` reliefs minus margins, or None.

    The relief is that of the strongest wrong class. To find it, ``lowest`` is written over the labels' ``values``.
    """
    margin = None if labels.shift is None else labels.shift[k]
    if relief is None:
        return margin
    values.view(-1).index_fill_(0, labels.at[k], lowest)
    # torch.argmax is slow over a dimension that is not the last. Ranks count down from C: the largest rank among the largest
    # values belongs to the lowest of the strongest classes.
    rank = torch.arange(len(relief), 0, -1, dtype=values.dtype, device=values.device).view(-1, 1)
    strongest = len(relief) - torch.where(values == values.amax(1, keepdim=True), rank, 0).amax(1).long()
    given = relief[strongest.flatten().clamp_(max=len(relief) - 1)]  # C where logits are NaN
    return given if margin is None else given + margin


def _focus(loss: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Turn the cross-entropies ``l`` of ``(P,)`` samples into focal losses, in place; return ``weight`` times d focal / d l."""
    share = (-loss).exp()
    miss = (-(-loss).expm1()).clamp_(min=TINY)
    focus = miss.pow(gamma)
    slope = (gamma * focus / miss).mul_(loss).mul_(share).add_(focus)
    loss.mul_(focus)
    return slope.mul_(weight)


def _total(loss: Tensor, labels: Labels) -> Tensor:
    total = loss.mul_(labels.coefficient).sum()
    return total if bool(total.isfinite()) else loss.masked_fill_(labels.coefficient == 0, 0).sum()  # 0 * inf is NaN


def _collect(exps: Tensor, weight: Tensor, mass: Tensor, labels: Labels, k: int, sums: Tensor) -> None:
    r"""Add the gradient :math:`g_k` of phase k to both sums; k goes from the last phase down to 0.

    :math:`g_k` is the weight times (softmax - one-hot label). ``times_k`` needs no multiplication by k: ``plain``, which holds
    :math:`\sum_{j \ge k} g_j` after phase k, is added to it after each phase but 0, so that :math:`g_j` is added j times.

    Args:
        exps: Exponentials of the adjusted logits.
        weight: ``(P,)`` weights of the samples.
        mass: ``(P,)`` sums of the exponentials over the classes.
        labels: Of the strip.
        k: The phase.
        sums: ``plain`` and ``times_k``; overwritten by the last phase.
    """
    plain, times_k = sums
    rate = (weight / mass).view(len(exps), 1, -1)
    behind = len(labels.at) - 1 - k  # number of phases that were added before
    into = times_k if k and not behind else plain  # after the last phase both sums are g_k: one array holds it for both
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
