"""What the kernels share: interpolation along a row, exact small-number functions, and the loss and slope of one logit."""
from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice

from .prepare import INTERPRETED

LOG_TINY = tl.constexpr(-27.631021115928547)  # of 1e-12, as in functional/cross_entropy.py
NEVER = tl.constexpr(-200.0)  # exp of it is 0 in float32

INTERPRETED_HERE = tl.constexpr(INTERPRETED)


@triton.jit
def exp(x):
    """e ** x as the hardware has it: one multiplication and one exp2, results under 1e-38 being 0.

    tl.exp spends three more instructions on those. The interpreter has no device library.
    """
    return tl.exp(x) if INTERPRETED_HERE else libdevice.fast_expf(x)


@triton.jit
def wide(index, WIDE: tl.constexpr):
    """Return an index in 64 bits where the places that it leads to need them."""
    return tl.cast(index, tl.int64) if WIDE else index


@triton.jit
def along_row(row, left, right, share, mask, SAME: tl.constexpr):
    """Interpolate rows of logits at output columns; with SAME the columns are the logits' own."""
    value = tl.load(row + left, mask=mask, other=0.0).to(tl.float32)
    if not SAME:
        value += (tl.load(row + right, mask=mask, other=0.0).to(tl.float32) - value) * share
    return value


@triton.jit
def adjusted(z, c, exists, scale, bias):
    """Return logits of channels ``c`` with the scale and bias of each where there are any.

    Before the interpolation down, in both passes: an order of its own would round the second one off the peak of the first.
    """
    if scale is not None:
        z *= tl.load(scale + c, mask=exists, other=0.0)
    if bias is not None:
        z += tl.load(bias + c, mask=exists, other=0.0)
    return z


@triton.jit
def label_of(target, pixel, inside, labels):
    """Return labels as numbers of classes that exist, also at pixels that are ignored or wrong: they are used as places."""
    label = tl.load(target + pixel, mask=inside, other=0).to(tl.int32)
    return tl.minimum(tl.maximum(label, 0), labels - 1)


@triton.jit
def log1p_unit(x):
    """log(1 + x) of x in [0, 1] to float32's last digits: 2 artanh(s), s = x / (2 + x) <= 1/3, by its series."""
    s = x / (2.0 + x)
    q = s * s
    series = 1.0 / 11 + q * (1.0 / 13)
    series = 1.0 / 9 + q * series
    series = 1.0 / 7 + q * series
    series = 1.0 / 5 + q * series
    series = 1.0 / 3 + q * series
    return 2.0 * s * (1.0 + q * series)


@triton.jit
def softplus_parts(u):
    """Return softplus(u), sigmoid(u) and sigmoid(-u), each with full relative accuracy."""
    x = exp(-tl.abs(u))  # in (0, 1]
    large = 1.0 / (1.0 + x)
    small = x * large
    return tl.maximum(u, 0.0) + log1p_unit(x), tl.where(u < 0, small, large), tl.where(u < 0, large, small)


@triton.jit
def focal_softplus(u, gamma, FOCAL: tl.constexpr):
    """Return sigmoid(u) ** gamma * softplus(u) and its derivative; of cross-entropy, u is minus the log-odds of the label."""
    loss, miss, hit = softplus_parts(u)
    slope = miss
    if FOCAL:
        power = exp(gamma * tl.maximum(u - loss, LOG_TINY))  # log sigmoid(u) = u - softplus(u) = -softplus(-u)
        slope = power * (miss + gamma * hit * loss)  # the product rule
        loss = power * loss
    return loss, slope


@triton.jit
def binary_parts(z, positive, lam, gamma, FOCAL: tl.constexpr):
    """Return the loss of one channel's logit and its derivative, as in functional/binary.py."""
    wrong = z * tl.where(positive, -1.0, lam)  # how far the logit is on the wrong side
    loss, slope = focal_softplus(wrong, gamma, FOCAL)
    return loss / tl.where(positive, 1.0, lam), tl.where(positive, -slope, slope)


@triton.jit
def softmax_slope(v, own, peak, inverse, pull, entropy, mixed, COMPLEMENT: tl.constexpr):
    """Return the slope of a pixel's loss in logit ``v``, from its statistics (see statistics.py).

    The wrong classes share what the label is pulled by, in proportion to their softmax p among themselves. Its entropy H has
    the slope d H / d v = -p (log p + H).
    """
    below_peak = v - peak
    pulled = pull
    if COMPLEMENT:
        below_peak = tl.maximum(below_peak, NEVER)
        pulled = pull - mixed * (below_peak + entropy)
    return tl.where(own, -pull, pulled * inverse * exp(below_peak))
