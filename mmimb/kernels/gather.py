"""Gradient kernel: every low-resolution logit collects from the output pixels around it; nothing is scattered."""
from __future__ import annotations

import triton
import triton.language as tl

from .parts import adjusted, along_row, wide
from .pixel import pixel_parts


@triton.jit
def gather(logits, target, coefficient, peaks, inverse, pull, entropy, scale, bias, labels, gain, table, outer, slopes, partial,
           gamma, complement, lam, gain_n, positive_shift, channels, height, width, stride_n, stride_c, stride_y, stride_x,
           out_n, out_c, out_y, out_x, out_chunk, low_height, low_width, start_y, share_y, start_x, left_x, share_x,
           FORMULA: tl.constexpr, WIDE: tl.constexpr, FOCAL: tl.constexpr, COMPLEMENT: tl.constexpr, GRADIENT: tl.constexpr,
           OWNED: tl.constexpr, STRIP: tl.constexpr, CHUNKS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_X: tl.constexpr,
           BLOCK_LOW: tl.constexpr):
    """Compute the gradient of OWNED low columns x STRIP low rows x BLOCK_C channels, and the loss of the cells they begin.

    Walks down the strip cell by cell. Every output pixel's slope is computed once per program, and adds its two shares to
    the row of logits above and to that below, in registers; a finished row, still as wide as the output, shrinks to the low
    columns by one small matrix product. Programs own disjoint logits: pixels on the rim of a tile are computed twice, none
    is added atomically.
    """
    n = tl.program_id(2).to(tl.int64)
    chunk = tl.program_id(0) % CHUNKS
    x_owned = (tl.program_id(0) // CHUNKS) * OWNED
    c_blocks = tl.cdiv(channels, BLOCK_C)
    c = (tl.program_id(1) % c_blocks) * BLOCK_C + tl.arange(0, BLOCK_C)[:, None]
    y_owned = (tl.program_id(1) // c_blocks) * STRIP
    exists = c < channels

    # The output columns that touch the tile, and how they blend its low columns.
    x = tl.load(start_x + tl.maximum(x_owned - 1, 0)) + chunk * BLOCK_X + tl.arange(0, BLOCK_X)
    inside = x < tl.load(start_x + tl.minimum(x_owned + OWNED, low_width))
    cell_x = tl.load(left_x + x, mask=inside, other=0)
    across = tl.load(share_x + x, mask=inside, other=0.0)
    x_low = x_owned + tl.arange(0, BLOCK_LOW)
    kept = (tl.arange(0, BLOCK_LOW) < OWNED) & (x_low < low_width)
    nearer = tl.where(cell_x[:, None] == x_low[None, :], 1.0 - across[:, None], 0.0)
    farther = tl.where(cell_x[:, None] + 1 == x_low[None, :], across[:, None], 0.0)
    blend = tl.where(inside[:, None], nearer + farther, 0.0)
    begun = (inside & (cell_x >= x_owned))[None, :]

    channel = wide(c, WIDE)
    left = tl.max_contiguous(cell_x[None, :], (1, 2))  # see statistics.py
    right = tl.max_contiguous(tl.minimum(cell_x + 1, low_width - 1)[None, :], (1, 2))
    left = wide(left, WIDE) * stride_x
    right = wide(right, WIDE) * stride_x
    image = logits + n * stride_n + channel * stride_c
    out = slopes
    if GRADIENT:
        out += chunk.to(tl.int64) * out_chunk + n * out_n + channel * out_c + wide(x_low, WIDE)[None, :] * out_x
    factor = tl.full((BLOCK_C, 1), 1.0, tl.float32)
    if gain is not None:
        factor = tl.load(gain + n * gain_n + c, mask=exists, other=0.0)
    step = 1.0
    if outer is not None:
        step = tl.load(outer)

    carry = tl.zeros((BLOCK_C, BLOCK_X), tl.float32)
    losses = tl.zeros((BLOCK_C, BLOCK_X), tl.float32)
    first = tl.maximum(y_owned - 1, 0)
    below = along_row(image + wide(first, WIDE) * stride_y, left, right, across[None, :], exists, False)
    below = adjusted(below, c, exists, scale, bias)
    for cell in range(first, tl.minimum(y_owned + STRIP, low_height)):
        above = below
        next_row = wide(tl.minimum(cell + 1, low_height - 1), WIDE)
        below = along_row(image + next_row * stride_y, left, right, across[None, :], exists, False)
        below = adjusted(below, c, exists, scale, bias)
        drop = below - above
        total = carry
        carry = tl.zeros((BLOCK_C, BLOCK_X), tl.float32)
        for y in range(tl.load(start_y + cell), tl.load(start_y + cell + 1)):
            down = tl.load(share_y + y)
            slope, loss = pixel_parts(above + drop * down, c, (n * height + y) * width + x[None, :], inside[None, :], target,
                                      coefficient, peaks, inverse, pull, entropy, labels, table, gamma, complement, lam,
                                      positive_shift, channels, FORMULA, FOCAL, COMPLEMENT)
            if GRADIENT:
                total += slope * (1.0 - down)
                carry += slope * down
            if partial is not None:
                losses += tl.where(begun & (cell >= y_owned), loss, 0.0)
        if GRADIENT and cell >= y_owned:
            row = tl.dot(total, blend, input_precision='ieee')
            tl.store(out + wide(cell, WIDE) * out_y, row * (factor * step), mask=exists & kept[None, :])
    if partial is not None:
        program = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
        tl.store(partial + program, tl.sum(tl.where(exists, losses * factor, 0.0)))
