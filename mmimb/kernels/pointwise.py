"""Gradient kernel for logits that already have the size of the labels."""
from __future__ import annotations

import triton
import triton.language as tl

from .parts import adjusted, wide
from .pixel import pixel_parts


@triton.jit
def pointwise(logits, target, coefficient, peaks, inverse, pull, entropy, scale, bias, labels, gain, table, outer, slopes,
              partial, gamma, complement, lam, gain_n, positive_shift, channels, height, width, stride_n, stride_c, stride_y,
              stride_x, out_n, out_c, out_y, out_x, FORMULA: tl.constexpr, WIDE: tl.constexpr, FOCAL: tl.constexpr,
              COMPLEMENT: tl.constexpr, GRADIENT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_X: tl.constexpr):
    """Compute the gradient, and the loss where it is not known yet, of BLOCK_C channels x BLOCK_X pixels of a row."""
    n = tl.program_id(2).to(tl.int64)
    c_blocks = tl.cdiv(channels, BLOCK_C)
    c = (tl.program_id(0) % c_blocks) * BLOCK_C + tl.arange(0, BLOCK_C)[:, None]
    y = tl.program_id(0) // c_blocks
    x = tl.program_id(1) * BLOCK_X + tl.arange(0, BLOCK_X)[None, :]
    inside = x < width
    held = (c < channels) & inside
    row, channel, column = wide(y, WIDE), wide(c, WIDE), wide(x, WIDE)
    place = n * stride_n + row * stride_y + channel * stride_c + column * stride_x
    z = adjusted(tl.load(logits + place, mask=held, other=0.0).to(tl.float32), c, c < channels, scale, bias)
    slope, loss = pixel_parts(z, c, (n * height + y) * width + x, inside, target, coefficient, peaks, inverse, pull, entropy,
                              labels, table, gamma, complement, lam, positive_shift, channels, FORMULA, FOCAL, COMPLEMENT)
    if gain is not None:
        factor = tl.load(gain + n * gain_n + c, mask=c < channels, other=0.0)
        slope *= factor
        loss *= factor
    if GRADIENT:
        if outer is not None:
            slope *= tl.load(outer)
        tl.store(slopes + n * out_n + row * out_y + channel * out_c + column * out_x, slope, mask=held)
    if partial is not None:
        program = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
        tl.store(partial + program, tl.sum(tl.where(held, loss, 0.0)))
