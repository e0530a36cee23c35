"""Forward kernel of the softmax family: what a pixel's loss, and later its gradient, need of all channels."""
from __future__ import annotations

import triton
import triton.language as tl

from .parts import adjusted, along_row, exp, focal_softplus, label_of, wide


@triton.jit
def statistics(logits, target, coefficient, scale, bias, margin, relief, peaks, inverse, pull, entropy, partial, gamma,
               complement, channels, height, width, stride_n, stride_c, stride_y, stride_x, low_height, low_width, pieces,
               left_y, share_y, left_x, share_x, WIDE: tl.constexpr, SAME: tl.constexpr, FOCAL: tl.constexpr,
               COMPLEMENT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr):
    """Walk over the channels of BLOCK_Y x BLOCK_X output pixels with a running maximum and sum of exponentials.

    The rows of a program lie between the same two rows of logits, so each logit is loaded once for all of them, and a further
    row costs one multiplication and addition per channel.

    The sums run over the wrong classes only; the label's logit is interpolated by itself. With d = log(sum exp v) - v_y:
    loss = softplus(d), 1 - p_y = sigmoid(d), and the slope in a wrong class is its share of d loss / d d. Nothing cancels
    where a pixel is almost right, as p_y - 1 would, nor where logits are large.

    Writes per pixel: the peak of the wrong logits, the inverse of sum exp(v - peak), pull = coefficient * d loss / d d, and
    with COMPLEMENT the entropy minus log sum exp(v - peak); and one sum of losses per program.
    """
    n = tl.program_id(2).to(tl.int64)
    first = tl.load(pieces + 2 * tl.program_id(1))
    stop = tl.load(pieces + 2 * tl.program_id(1) + 1)
    y = first + tl.arange(0, BLOCK_Y)[:, None]
    x = tl.program_id(0) * BLOCK_X + tl.arange(0, BLOCK_X)[None, :]
    inside = (y < stop) & (x < width)
    pixel = (n * height + y) * width + x
    label = label_of(target, pixel, inside, channels)

    above = tl.load(left_y + first)
    below = tl.minimum(above + 1, low_height - 1)
    down = tl.load(share_y + y, mask=y < stop, other=0.0)
    across = tl.load(share_x + x, mask=x < width, other=0.0)
    # These are not contiguous, but nearly so: without a word about it Triton 3.6 lets neighbouring threads read neighbouring
    # channels, far apart in memory. No load grows wider by this, for nothing is said of alignment.
    left = tl.max_contiguous(tl.load(left_x + x, mask=x < width, other=0), (1, 2))
    right = tl.max_contiguous(tl.minimum(left + 1, low_width - 1), (1, 2))
    left = wide(x if SAME else left, WIDE) * stride_x
    right = wide(right, WIDE) * stride_x
    image = logits + n * stride_n + wide(above, WIDE) * stride_y
    next_row = wide(below - above, WIDE) * stride_y

    # The label's own logit, from its four corners.
    corner = image + wide(label, WIDE) * stride_c
    own = adjusted(along_row(corner, left, right, across, inside, SAME), label, inside, scale, bias)
    if not SAME:
        under = adjusted(along_row(corner + next_row, left, right, across, inside, SAME), label, inside, scale, bias)
        own += (under - own) * down

    peak = tl.full((BLOCK_Y, BLOCK_X), float('-inf'), tl.float32)
    total = tl.zeros((BLOCK_Y, BLOCK_X), tl.float32)
    moment = tl.zeros((BLOCK_Y, BLOCK_X), tl.float32)  # sum of e log e, for the entropy
    strongest = tl.full((BLOCK_Y, BLOCK_X), float('-inf'), tl.float32)
    rival = tl.zeros((BLOCK_Y, BLOCK_X), tl.int32)
    for start in range(0, channels, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)[:, None, None]
        exists = c < channels
        held = exists
        if SAME:  # otherwise the tables lead every column to a logit
            held = exists & (x < width)[None]
        row = image + wide(c, WIDE) * stride_c
        upper = along_row(row, left[None], right[None], across[None], held, SAME)
        raw = upper
        from_upper = adjusted(upper, c, exists, scale, bias)
        v = tl.where(exists, from_upper, float('-inf'))
        if not SAME:
            lower = along_row(row + next_row, left[None], right[None], across[None], held, SAME)
            raw = upper + (lower - upper) * down[None]
            v += (adjusted(lower, c, exists, scale, bias) - from_upper) * down[None]
        wrong = c != label[None]
        v = tl.where(wrong, v, float('-inf'))
        if relief is not None:
            raw = tl.where(wrong & exists, raw, float('-inf'))
            highest = tl.max(raw, 0)
            lowest_id = tl.min(tl.where(raw == highest[None], c, channels), 0)  # ties keep the lower id
            rival = tl.where(highest > strongest, lowest_id, rival)
            strongest = tl.maximum(highest, strongest)
        before = peak
        peak = tl.maximum(before, tl.max(v, 0))  # finite: two channels or more are in the first block
        decay = exp(before - peak)
        e = exp(v - peak[None])
        if COMPLEMENT:
            shift = tl.where(total > 0, before - peak, 0.0)
            moment = decay * (moment + total * shift) + tl.sum(tl.where(e > 0, e * (v - peak[None]), 0.0), 0)
        total = decay * total + tl.sum(e, 0)

    gap = tl.log(total)
    if margin is not None:
        gap += tl.load(margin + label)
    if relief is not None:
        gap -= tl.load(relief + tl.minimum(rival, channels - 1))  # the bound is for logits that are not numbers
    factor = tl.load(coefficient + pixel, mask=inside, other=0.0)
    loss, slope = focal_softplus((peak - own) + gap, gamma, FOCAL)
    if COMPLEMENT:
        loss += complement * (tl.log(total) - moment / total)
        tl.store(entropy + pixel, -moment / total, mask=inside)
    tl.store(peaks + pixel, peak, mask=inside)
    tl.store(inverse + pixel, 1.0 / total, mask=inside)
    tl.store(pull + pixel, factor * slope, mask=inside)
    program = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    tl.store(partial + program, tl.sum(tl.where(inside, factor * loss, 0.0)))
