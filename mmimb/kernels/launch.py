"""How the kernels are started: block sizes by rule from the shapes alone, so that two runs are the same."""
from __future__ import annotations

import math

import torch
import triton
from torch import Tensor

from .gather import gather
from .pointwise import pointwise
from .statistics import statistics
from .tables import Axis, axis

Vectors = dict[str, Tensor | None]  # by the names of the kernels' arguments; a formula has some of them
MAPS = ('peaks', 'inverse', 'pull', 'entropy')
ADJUSTMENTS = ('scale', 'bias', 'margin', 'relief')
INPUTS = (*MAPS, 'scale', 'bias', 'labels', 'gain', 'table', 'outer')
PROGRAMS = 2048  # about four for each place that a large GPU has for them; fewer leave it idle at the end


def run_statistics(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool, vectors: Vectors, gamma: float,
                   complement: float) -> tuple[Tensor, Vectors]:
    """Return the loss of the softmax family, and the maps from which :func:`run_slopes` makes its gradient."""
    down, across = _axes(logits, target, align_corners)
    rows = min(triton.next_power_of_2(down.longest), 4)
    columns = min(max(triton.next_power_of_2(across.large), 32), 128)
    pieces = down.pieces(rows)
    grid = (triton.cdiv(across.large, columns), len(pieces), len(logits))
    maps: Vectors = {name: None if name == 'entropy' and complement == 0 else torch.empty_like(coefficient) for name in MAPS}
    partial = coefficient.new_empty(math.prod(grid))
    with torch.cuda.device_of(logits):
        statistics[grid](
            logits, target, coefficient, *map(vectors.get, ADJUSTMENTS), *maps.values(), partial, gamma, complement,
            *_sizes(logits, target), *logits.stride(), *logits.shape[2:], pieces, down.left, down.share, across.left,
            across.share, WIDE=_wide(logits), SAME=_same(logits, target), FOCAL=gamma != 0, COMPLEMENT=complement != 0,
            BLOCK_C=32 // rows, BLOCK_Y=rows, BLOCK_X=columns, num_warps=columns // 32)
    return partial.sum(), maps


def run_slopes(formula: str, logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool, vectors: Vectors,
               dtype: torch.dtype | None, loss: bool, gamma: float = 0.0, complement: float = 0.0,
               lam: float = 1.0) -> tuple[Tensor | None, Tensor | None]:
    """Return the loss if it is asked for, and the gradient if a dtype is given for it."""
    down, across = _axes(logits, target, align_corners)
    same = _same(logits, target)
    kernel, (grid, blocks) = (pointwise, _same_tiles(logits)) if same else (gather, _tiles(logits, across))
    slopes = None if dtype is None else _empty(logits, dtype, blocks.get('CHUNKS', 1))
    strides = (0,) * 5 if slopes is None else slopes.stride()
    partial = coefficient.new_empty(math.prod(grid)) if loss else None
    gain = vectors.get('gain')  # (C,) or (N, C)
    tables = () if same else (strides[0], *logits.shape[2:], down.start, down.share, across.start, across.left, across.share)
    with torch.cuda.device_of(logits):
        kernel[grid](
            logits, target, coefficient, *map(vectors.get, INPUTS), slopes, partial, gamma, complement, lam,
            gain.stride(0) if gain is not None and gain.ndim == 2 else 0, int(logits.shape[1] == 1), *_sizes(logits, target),
            *logits.stride(), *strides[1:], *tables, FORMULA=formula, WIDE=_wide(logits), FOCAL=gamma != 0,
            COMPLEMENT=complement != 0, GRADIENT=slopes is not None, **blocks)
    if slopes is not None:
        slopes = slopes[0] if len(slopes) == 1 else slopes.sum(0).to(dtype)
    return None if partial is None else partial.sum(), slopes


def _empty(logits: Tensor, dtype: torch.dtype, chunks: int) -> Tensor:
    """Return room for the gradient, in the memory format of the logits, or in float32 for each chunk of it."""
    if chunks == 1:
        return torch.empty_like(logits, dtype=dtype).unsqueeze(0)
    return logits.new_empty((chunks, *logits.shape), dtype=torch.float32)


def _tiles(logits: Tensor, across: Axis) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return grid and block sizes of :func:`gather`: the narrowest tile whose rim is a small part of it.

    Samples of more than 256 columns for one point, as in the up-sampling of a pooled pixel, are summed in chunks.
    """
    n, channels, height, width = logits.shape
    for columns in (64, 128, 256):
        owned = max((points for points in (1, 3, 7, 15, 31, 63) if across.widest(points) <= columns), default=1)
        if owned >= min(7, width):
            break
    chunks = triton.cdiv(across.widest(owned), columns)
    columns = min(columns, max(triton.next_power_of_2(across.widest(owned)), 16))
    across_tiles, channel_tiles = triton.cdiv(width, owned) * chunks, triton.cdiv(channels, 16)
    strips = {strip: triton.cdiv(height, strip) * channel_tiles for strip in (4, 8, 16)}
    strip = max((rows for rows, down in strips.items() if across_tiles * down * n >= PROGRAMS), default=4)
    return (across_tiles, strips[strip], n), {
        'OWNED': owned, 'STRIP': strip, 'CHUNKS': chunks, 'BLOCK_C': 16, 'BLOCK_X': columns,
        'BLOCK_LOW': max(triton.next_power_of_2(owned), 16), 'num_warps': columns // 16}


def _same_tiles(logits: Tensor) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return grid and block sizes of :func:`pointwise`."""
    n, channels, height, width = logits.shape
    block_c, columns = min(triton.next_power_of_2(channels), 16), 128
    grid = (height * triton.cdiv(channels, block_c), triton.cdiv(width, columns), n)
    return grid, {'BLOCK_C': block_c, 'BLOCK_X': columns, 'num_warps': 4}


def _axes(logits: Tensor, target: Tensor, align_corners: bool) -> tuple[Axis, Axis]:
    (h, w), (height, width) = logits.shape[2:], target.shape[1:]
    return axis(h, height, align_corners, logits.device), axis(w, width, align_corners, logits.device)


def _sizes(logits: Tensor, target: Tensor) -> tuple[int, int, int]:
    return logits.shape[1], target.shape[1], target.shape[2]


def _same(logits: Tensor, target: Tensor) -> bool:
    return logits.shape[2:] == target.shape[1:]


def _wide(logits: Tensor) -> bool:
    """Whether a place in an image of the logits, or of its gradient, needs 64 bits."""
    furthest = sum((size - 1) * stride for size, stride in zip(logits.shape[1:], logits.stride()[1:], strict=True))
    return max(furthest, logits[0].numel()) >= 2**31
