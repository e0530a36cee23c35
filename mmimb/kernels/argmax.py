"""The class with the largest up-sampled logit of each pixel: the kernel beside functional/argmax.py."""
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..functional.axes import cached
from ..functional.resizing import Resizing
from .parts import wide

COLUMNS = 128
CHANNELS = 16
PLACES = 2**31  # in an image that 32 bits can tell apart


@triton.jit
def largest(logits, winner, channels, height, width, stride_n, stride_c, stride_y, stride_x, first_y, weight_y, first_x,
            weight_x, WIDE: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr, BLOCK_C: tl.constexpr,
            BLOCK_X: tl.constexpr):
    """Walk over the channels of BLOCK_X pixels of a row with a running maximum; each is a mean of DOWN x ACROSS logits."""
    n = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1)
    x = tl.program_id(0) * BLOCK_X + tl.arange(0, BLOCK_X)
    inside = x < width
    image = logits + n * stride_n + wide(tl.load(first_y + y), WIDE) * stride_y
    column = wide(tl.load(first_x + x, mask=inside, other=0), WIDE)
    best = tl.full((BLOCK_X,), float('-inf'), tl.float32)
    index = tl.zeros((BLOCK_X,), tl.int32)
    for start in range(0, channels, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)[:, None]
        held = (c < channels) & inside[None, :]
        place = image + wide(c, WIDE) * stride_c + column[None, :] * stride_x
        value = tl.zeros((BLOCK_C, BLOCK_X), tl.float32)
        for i in tl.static_range(DOWN):
            row = tl.zeros((BLOCK_C, BLOCK_X), tl.float32)
            for j in tl.static_range(ACROSS):
                across = tl.load(weight_x + x * ACROSS + j, mask=inside, other=0.0)
                row += tl.load(place + i * stride_y + j * stride_x, mask=held, other=0.0).to(tl.float32) * across[None, :]
            value += row * tl.load(weight_y + y * DOWN + i)
        value = tl.where(value != value, float('inf'), value)  # what is not a number counts as the largest
        value = tl.where(c < channels, value, float('-inf'))
        highest = tl.max(value, 0)
        lowest_id = tl.min(tl.where(value == highest[None, :], c, channels), 0)  # ties keep the lower id
        index = tl.where(highest > best, lowest_id, index)
        best = tl.maximum(highest, best)
    tl.store(winner + (n * height + y) * width + x, index.to(tl.int64), mask=inside)


def resized_argmax(logits: Tensor, resizing: Resizing) -> Tensor:
    """Do as :func:`mmimb.functional.argmax.resized_argmax`, in one pass and without a host sync.

    Logits that are not finite are no case of their own: a value that is not a number counts as the largest.

    Args:
        logits: ``(N, C, h, w)`` scores that :func:`supports` allows.
        resizing: How they come to the size of the result.
    """
    down, across = (_table(resizing, dim, logits.shape[dim], logits.device) for dim in (2, 3))
    height, width = len(down[0]), len(across[0])
    winner = torch.empty(len(logits), height, width, dtype=torch.int64, device=logits.device)
    furthest = sum((size - 1) * stride for size, stride in zip(logits.shape[1:], logits.stride()[1:], strict=True))
    grid = (triton.cdiv(width, COLUMNS), height, len(logits))
    with torch.cuda.device_of(logits):
        largest[grid](logits.detach(), winner, logits.shape[1], height, width, *logits.stride(), *down, *across,
                      WIDE=furthest >= PLACES, DOWN=down[1].shape[1], ACROSS=across[1].shape[1], BLOCK_C=CHANNELS,
                      BLOCK_X=COLUMNS, num_warps=4)
    return winner


@cached
def _table(resizing: Resizing, dim: int, small: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the first points and the weights of an axis, on the device; kept, for copying them waits for it."""
    taps = resizing.axis(dim, small, torch.float32)
    return taps.first.to(device, torch.int32), taps.weight.to(device, torch.float32).contiguous()
