"""Kernel parts: the slope and the loss of a block of output pixels and channels."""
from __future__ import annotations

import triton
import triton.language as tl

from .parts import binary_parts, label_of, softmax_slope


@triton.jit
def pixel_parts(z, c, pixel, inside, target, coefficient, peaks, inverse, pull, entropy, labels, table, gamma, complement, lam,
                positive_shift, channels, FORMULA: tl.constexpr, FOCAL: tl.constexpr, COMPLEMENT: tl.constexpr):
    """Return slope and loss of ``z`` at channels ``c`` of the pixels ``pixel``, coefficient included; 0 outside.

    The softmax family has no loss here: it is known from the statistics.
    """
    label = label_of(target, pixel, inside, tl.maximum(channels, 2))
    if FORMULA == 'cross_entropy':
        mixed = 0.0
        rest = 0.0
        if COMPLEMENT:
            mixed = complement * tl.load(coefficient + pixel, mask=inside, other=0.0)
            rest = tl.load(entropy + pixel, mask=inside, other=0.0)
        slope = softmax_slope(z, c == label, tl.load(peaks + pixel, mask=inside, other=float('inf')),
                              tl.load(inverse + pixel, mask=inside, other=0.0), tl.load(pull + pixel, mask=inside, other=0.0),
                              rest, mixed, COMPLEMENT)
        loss = slope
    else:
        share = tl.load(coefficient + pixel, mask=inside, other=0.0) / channels
        if FORMULA == 'squared_error':
            error = z - tl.where(c == label, tl.load(labels + label), 0.0)
            share *= tl.where(c == label, lam, 1.0)
            slope = 2.0 * share * error
            loss = share * error * error
        else:
            if table is not None:
                share = share * tl.load(table + label * channels + c, mask=c < channels, other=0.0)
            loss, slope = binary_parts(z, c + positive_shift == label, lam, gamma, FOCAL)
            slope *= share
            loss *= share
    return slope, loss
