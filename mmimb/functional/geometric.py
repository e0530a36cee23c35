r"""Cross-entropy of bilinearly up-sampled logits and its gradient, walking from sample to sample inside the cells.

Between four neighbouring low-resolution logits the up-sampled logit is linear along either axis. From sample to sample of a row
it grows by the same amount, so its exponential by the same factor: :math:`e^{z_0 + k d} = e^{z_0} (e^d)^k`. ``exp`` is needed
at the first sample of a cell only; the others follow by multiplication.

The gradient of a cell's corner is the sum of its samples' gradients :math:`g_k`, weighted by :math:`u_k = u_0 + k\,step`
(right) and :math:`1 - u_k` (left): all that it takes is :math:`\sum_k g_k` and :math:`\sum_k k g_k`, along both axes.

A strip is some rows of cells of one image; its arrays are ``(phases along x, C, cells)``, for one phase along y at a time.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from .axes import Cells, cells
from .phases import LOG2_E, Adjustment, Labels, added, multiplied

ANCHOR = 8  # samples between two calls of exp: bounds the rounding that multiplications add up
STRIP = 13 << 15  # elements of an array of a strip: of the four of them, a core's cache holds some
REACH = {torch.float32: 40.0, torch.float64: 300.0}  # exp(2 * reach) and its inverse are far from the limits of the dtype


class Strip:
    """The arrays of some rows of cells, the same for all images.

    ``exps`` holds exponentials at one phase along y, and the factors that lead to the phase above (or both as logarithms);
    ``sums`` the sums over phases along y of gradients g_k and of k g_k; ``low`` both of either at low resolution with the ends
    repeated. ``base`` tells where the samples' entries of channel 0 are in a flat array. The strip needs the logits of the rows
    ``support``, of which ``above`` and ``below`` are those above and below each row of cells.
    """

    def __init__(self, memory: Tensor, channels: int, rows: Cells, cols: Cells, low: torch.Size) -> None:
        self.cols = cols
        self.size = len(rows) * len(cols)
        shape = (2, 2, cols.phases, channels, self.size)
        self.exps, self.sums = memory[:math.prod(shape)].view(shape)
        self.exps_at, self.sums_at = ([array.unflatten(-1, (len(rows), -1)) for array in half.unbind(1)]
                                      for half in (self.exps, self.sums))  # each phase along x, by rows of cells
        self.low = memory.new_empty(2, channels, len(rows), low[1] + 2)
        self.offset = cols.offset.to(memory.dtype)
        phase, cell = (torch.arange(count, device=memory.device) for count in (cols.phases, self.size))
        self.base = (phase.view(-1, 1) * (channels * self.size) + cell).flatten()
        self.move(rows, low[0])

    def move(self, rows: Cells, height: int) -> None:
        """Go to as many other rows of cells, of logits of a height."""
        self.rows = rows
        above, below = rows.left.clamp(min=0), (rows.left + 1).clamp(max=height - 1)
        first = int(above[0])
        self.support = slice(first, int(below[-1]) + 1)
        self.above, self.below = _span(above - first), _span(below - first)

    def points(self, side: int) -> Tensor:
        """Return from :attr:`low` what is left (1) or right (2) of every cell."""
        beside = [self.low[..., point + side:point + side + stop - start] for start, stop, point in self.cols.runs]
        return beside[0] if len(beside) == 1 else torch.cat(beside, -1)


def walk_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool, adjustment: Adjustment,
                       gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Return the sum and, if asked for, its gradient, both in the dtype of the coefficient; inputs as in ``upsampled.py``.

    CPU only: how each strip is walked depends on the range of its logits, which has to be read.
    """
    channels, height, width = logits.shape[1:]
    rows = cells(height, target.shape[1], align_corners, ANCHOR)
    cols = cells(width, target.shape[2], align_corners)
    count = -(-len(rows) * cols.phases * channels * len(cols) // STRIP)
    size = -(-len(rows) // count)
    memory = coefficient.new_empty(4 * cols.phases * channels * size * len(cols))
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    grad = torch.zeros_like(logits, dtype=coefficient.dtype, memory_format=torch.contiguous_format) if gradient else None
    strip = Strip(memory, channels, rows.part(0, size), cols, logits.shape[2:])
    for start in range(0, len(rows), size):
        part = rows.part(start, start + size)
        if len(part) == len(strip.rows):
            strip.move(part, height)
        else:
            strip = Strip(memory, channels, part, cols, logits.shape[2:])
        for image in range(len(logits)):
            labels = _labels(strip, target[image], coefficient[image], adjustment.margin)
            into = None if grad is None else grad[image]
            total += _walk(strip, logits[image], labels, adjustment, into)
    if grad is not None and adjustment.scale is not None:
        grad.mul_(adjustment.scale.view(-1, 1, 1))
    return total.to(coefficient.dtype), grad


def _labels(strip: Strip, target: Tensor, coefficient: Tensor, margin: Tensor | None) -> Labels:
    """Sort the ``(H, W)`` labels and coefficients of an image by phase and cell."""
    label = _by_phase(strip, target).clamp_(0, strip.low.shape[1] - 1)
    shift = None if margin is None else -margin.index_select(0, label.flatten()).view_as(label)
    return Labels(torch.add(strip.base, label, alpha=strip.size, out=label), _by_phase(strip, coefficient), shift)


def _by_phase(strip: Strip, image: Tensor) -> Tensor:
    """Return ``(H, W)`` numbers as ``(phases along y, P)``, 0 for fillings."""
    rows, cols = strip.rows, strip.cols
    if rows.start is None or cols.start is None:
        pixel = rows.sample[:, None, :, None] * image.shape[1] + cols.sample[:, None, :]
        counts = (rows.counts[:, None, :, None] * cols.counts[:, None, :]).to(image.dtype)
        return image.flatten().index_select(0, pixel.flatten()).view_as(pixel).mul_(counts).flatten(1)
    result = image.new_zeros(len(rows), rows.phases, len(cols), cols.phases)
    frame = result.view(len(rows) * rows.phases, -1)  # the image as it is, but for a rim of fillings
    held = image[max(rows.start, 0):rows.start + len(frame), max(cols.start, 0):cols.start + frame.shape[1]]
    top, side = max(-rows.start, 0), max(-cols.start, 0)
    frame[top:top + len(held), side:side + held.shape[1]] = held
    return result.permute(1, 3, 0, 2).flatten(1)


def _span(points: Tensor) -> slice | Tensor:
    """Return neighbouring points as a slice, which is faster than their numbers."""
    return slice(int(points[0]), int(points[-1]) + 1) if bool((points.diff() == 1).all()) else points


def _walk(strip: Strip, logits: Tensor, labels: Labels, adjustment: Adjustment, grad: Tensor | None) -> Tensor:
    """Return the sum over a strip of ``(C, h, w)`` logits and add its gradient to ``grad``, but for the scale."""
    low = logits[:, strip.support].to(strip.low.dtype)
    low = low if adjustment.scale is None else low * adjustment.scale.view(-1, 1, 1)
    low = low if adjustment.bias is None else low + adjustment.bias.view(-1, 1, 1)
    low, multiply = _ranged(low, adjustment, REACH[low.dtype] / (strip.rows.stretch * strip.cols.stretch))
    low = low * LOG2_E if multiply else low
    _begin(strip, low[:, strip.above], low[:, strip.below], multiply)
    sums = None if grad is None else strip.sums
    total = (multiplied if multiply else added)(strip.exps[0], strip.exps[1], labels, adjustment, sums)
    if grad is not None:
        for points, part in zip((strip.above, strip.below), _corners(strip), strict=True):
            rows = grad[:, strip.support]
            if isinstance(points, slice):
                rows[:, points] += part
            else:
                rows.index_add_(1, points, part)
    return total


def _ranged(low: Tensor, adjustment: Adjustment, reach: float) -> tuple[Tensor, bool]:
    """Return logits with the same softmax, and whether to multiply exponentials: if all products are finite and above 0.

    That is so if the logits are within the reach as they are, or lie in a range twice as wide below their maximum over the
    classes; what a label is shifted by narrows both. (Interpolation is linear: what is subtracted from all classes at a
    corner, is from all at a sample.)
    """
    shift = adjustment.largest_shift()
    least, most = low.aminmax()
    exact = adjustment.relief is not None  # where classes are equally strong, products would decide by their rounding
    if shift - reach <= float(least) and float(most) <= reach - shift:
        return low, not exact
    low = low - low.amax(0, keepdim=True)
    return low, float(low.amin()) >= shift - 2 * reach and not exact


def _begin(strip: Strip, top: Tensor, bottom: Tensor, multiply: bool) -> None:
    """Fill ``strip.exps`` for the last phase along y, from the ``(C, rows, w)`` logits above and below each row of cells."""
    rows, (value, up) = strip.rows, strip.low[..., 1:-1]
    torch.sub(bottom, top, out=up)
    last = rows.offset + (rows.phases - 1) * rows.step
    torch.addcmul(top, up, last.to(up.dtype).view(-1, 1), out=value)
    up.mul_(-rows.step)
    strip.low[..., 0] = strip.low[..., 1]
    strip.low[..., -1] = strip.low[..., -2]
    exps, free = strip.exps_at, strip.sums_at
    left, right = strip.points(1), strip.points(2)
    way = torch.sub(right, left, out=free[0])
    factor = torch.mul(way, strip.cols.step, out=free[-1]).exp2_() if multiply and strip.cols.phases > 1 else None
    for k in range(strip.cols.phases):
        if factor is not None and k % ANCHOR:
            torch.mul(exps[k - 1], factor, out=exps[k])
            continue
        torch.addcmul(left, way, strip.offset + k * strip.cols.step, out=exps[k])
        if multiply:
            exps[k].exp2_()


def _corners(strip: Strip) -> tuple[Tensor, Tensor]:
    """Return the gradients of the ``(C, rows, w)`` logits above and below each row of cells; ``strip.sums`` are used up."""
    rows, sums = strip.rows, strip.sums_at
    for k in reversed(range(1, strip.cols.phases)):
        sums[k - 1].add_(sums[k])
    for k in range(2, strip.cols.phases):
        sums[1].add_(sums[k])  # phase j has been in j of these
    right = torch.mul(sums[0], strip.offset, out=strip.exps_at[0])
    if strip.cols.phases > 1:
        right.add_(sums[1], alpha=strip.cols.step)
    left = sums[0].sub_(right)
    low = strip.low.zero_()
    for start, stop, point in strip.cols.runs:
        low[..., point + 1:point + 1 + stop - start].add_(left[..., start:stop])
        low[..., point + 2:point + 2 + stop - start].add_(right[..., start:stop])
    low[..., 1].add_(low[..., 0])  # beyond the ends there is the same point once more
    low[..., -2].add_(low[..., -1])
    plain, times_k = low[..., 1:-1]
    bottom = times_k.mul_(rows.step).addcmul_(plain, rows.offset.to(plain.dtype).view(-1, 1))
    return plain.sub_(bottom), bottom
