"""The class with the largest up-sampled logit, from low-resolution logits, where most classes need no interpolation.

Weights of a bilinear interpolation are not negative. So what a pixel gets from a class is at most what the largest of the
points around it would give, and the largest of all classes is at least what any fixed mean of classes gives. A class that lies
below such a mean at all points around a pixel cannot win there, however the pixel lies between them.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .resizing import Resizing, Taps

TILE = 64  # rows and columns of the result that are computed together
PIECE = {'cpu': 1 << 22}  # elements that are up-sampled at a time where the classes are not sorted out first
LARGE_PIECE = 1 << 25
SAFE = 8  # roundings by which a class must lie behind to be left out; an interpolation makes at most three in each class


def resized_argmax(logits: Tensor, resizing: Resizing) -> Tensor:
    """Return the ``(N, H, W)`` int64 class that ``resizing(logits).argmax(1)`` gives, but where two classes are all but equal.

    Where the lead of the largest class is more than 8 roundings (units in the last place of the largest logit of the points
    around a pixel; 16 for two interpolations), the class is the same. In closer races, which ``F.interpolate`` decides by its
    rounding, the class is one of those that are as close to the largest. Equal classes count for the lowest. In half precision
    logits are interpolated in float32.

    No tensor of full resolution and C channels is made, but under ``torch.compile`` and ``torch.export``. Images with logits
    that are not finite, and devices other than the CPU, go through ``F.interpolate`` some channels at a time; there is no host
    sync off the CPU.

    Args:
        logits: ``(N, C, h, w)`` scores.
        resizing: How they come to the size of the result.
    """
    logits = logits.detach()
    if torch.compiler.is_compiling():
        return resizing(logits).argmax(1)
    if logits.device.type != 'cpu' or type(logits) is not Tensor:
        return _by_pieces(logits, resizing)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    rows, columns = (resizing.axis(dim, logits.shape[dim], dtype) for dim in (2, 3))
    down, across = _strips(rows, dtype), _strips(columns, dtype)
    winner = torch.empty(len(logits), len(rows.first), len(columns.first), dtype=torch.int64, device='cpu')
    with torch.autocast('cpu', enabled=False):
        for image, result in zip(logits, winner, strict=True):
            low, high = map(float, image.aminmax())
            if max(-low, high) < torch.inf:
                _fill(result, image, down, across, SAFE * resizing.rounds * torch.finfo(dtype).eps * max(-low, high))
            else:  # or not a number
                result.copy_(_by_pieces(image.unsqueeze(0), resizing)[0])
    return winner


@dataclass(frozen=True)
class Strip:
    """Rows of the result that are computed together, or columns."""

    part: slice
    points: slice  # the low-resolution rows or columns that they need
    weight: Tensor  # (part, points)
    taps: int


def _strips(axis: Taps, dtype: torch.dtype) -> list[Strip]:
    bounds = [(start, min(start + TILE, len(axis.first))) for start in range(0, len(axis.first), TILE)]
    windows = [axis.window(start, stop) for start, stop in bounds]
    return [Strip(slice(start, stop), slice(low, high), weight.to(dtype), axis.weight.shape[1])
            for (start, stop), (low, high, weight) in zip(bounds, windows, strict=True)]


def _fill(result: Tensor, image: Tensor, down: list[Strip], across: list[Strip], margin: float) -> None:
    """Write the ``(H, W)`` classes of a ``(C, h, w)`` image.

    Args:
        margin: How far a class must lie behind to be left out.
    """
    for rows in down:
        low = image[:, rows.points].to(rows.weight.dtype).contiguous()
        hope = (low - (_bound(low, rows.taps, across[0].taps) - margin)).amax(1) >= 0  # (C, w)
        for columns in across:
            classes = hope[:, columns.points].any(1).nonzero().flatten()
            if len(classes) > 1:
                logits = low[:, :, columns.points].index_select(0, classes).transpose(0, 1) @ columns.weight.T
                logits = (rows.weight @ logits.flatten(1)).view(-1, *logits.shape[1:])  # (rows, classes, columns)
                classes = classes[_first_largest(logits)]
            result[rows.part, columns.part] = classes


def _bound(logits: Tensor, down: int, across: int) -> Tensor:
    """Return for each of the points what a class must reach at one of them, at least, to win around there.

    A window is ``down`` x ``across`` points; a pixel lies between the points of one. The mean of the classes that win at the
    corners of the window is a lower bound of the largest logit of all its pixels.

    Args:
        logits: ``(C, r, w)`` scores.

    Returns:
        ``(r, w)``, the lowest of the means over the windows that a point is in.
    """
    channels, height, width = logits.shape
    winner = _first_largest(logits.reshape(1, channels, -1).clone()).view(height, width)
    y, x = (torch.arange(size, device='cpu') for size in (height, width))

    def shifted(by_y: int, by_x: int) -> tuple[Tensor, Tensor]:
        return (y + by_y).clamp(max=height - 1).view(-1, 1), (x + by_x).clamp(max=width - 1)

    corners = torch.stack([winner[shifted(i, j)] for i in (0, down - 1) for j in (0, across - 1)])
    bound = logits.new_full((height, width), torch.inf)
    for i in range(down):
        for j in range(across):
            mean = logits[(corners, *shifted(i, j))].mean(0)
            part = bound[i:, j:]
            torch.minimum(part, mean[:height - i, :width - j], out=part)
    return bound


def _first_largest(values: Tensor) -> Tensor:
    """Return the ``(M, P)`` index of the largest of ``(M, S, P)`` finite values, the first of equal ones; values are lost.

    Sums and maxima alone: on tiles as small as these a CPU is faster with them than with ``max`` over a dimension that is not
    the last, and than with the passes of :func:`mmimb.functional.first_largest`, which serves large maps and infinite scores.
    """
    count, huge = values.shape[1], torch.finfo(values.dtype).max
    values.sub_(values.amax(1, keepdim=True)).mul_(huge)  # twice, for the smallest of differences
    rank = torch.arange(count, 0, -1, dtype=values.dtype, device='cpu').view(-1, 1)
    ranked = torch.add(rank, values, alpha=huge, out=values)  # far below 0 but for the largest
    return count - ranked.amax(1).long()


def _by_pieces(logits: Tensor, resizing: Resizing) -> Tensor:
    """Resize some channels at a time, and keep the largest value and its class; a class that is not a number is the largest."""
    pixels = len(logits) * max(math.prod(size) for size in (resizing.size, resizing.then or ()))
    step = max(1, PIECE.get(logits.device.type, LARGE_PIECE) // pixels)
    best, winner = resizing(logits[:, :step]).max(1)
    for channel in range(step, logits.shape[1], step):
        value, index = resizing(logits[:, channel:channel + step]).max(1)
        better = (value > best) | (value.isnan() & ~best.isnan())
        winner = torch.where(better, index + channel, winner)
        best = torch.where(better, value, best)
    return winner
