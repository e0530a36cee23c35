r"""The walk: cross-entropy of bilinearly up-sampled logits and its gradient, without an ``exp`` for every output pixel.

Between four neighbouring logits, along one axis, the up-sampled logit grows by the same amount ``d`` from pixel to pixel. Its
exponential then grows by the same factor: :math:`e^{z_0 + k d} = e^{z_0} (e^d)^k`. So ``exp`` is needed at the first pixel of
such a cell only, and the others follow by multiplication.

Gradient: let :math:`g_k` be the gradient of the k-th up-sampled logit of a cell, which lies :math:`u_k = u_0 + k \cdot step` to
the right of the left logit. The right logit gets :math:`\sum_k u_k g_k = u_0 \sum_k g_k + step \sum_k k g_k`, the left one the
rest of :math:`\sum_k g_k`. Two sums suffice, along either axis.

Words: output pixels are called samples, and the k-th sample of every cell is phase k of the axis (walk_cells.py). A strip is
some rows of cells of one image. Its arrays are ``(phases along x, C, cells)``, of one phase along y at a time (walk_steps.py).
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from .first_order import with_gradient
from .walk_cells import Cells, cells
from .walk_steps import LOG2_E, Adjustment, Labels, added, multiplied

ANCHOR = 8  # samples between two calls of exp; rounding errors of multiplications add up in between
STRIP = 13 << 15  # elements of an array of a strip, so that the cache of a core holds some of the four
REACH = {torch.float32: 40.0, torch.float64: 300.0}  # exp(2 * reach) and its inverse are far from the limits of the dtype


class Strip:
    """The arrays of a strip, used again for the next strips of the same size and for all images.

    ``exps``: two arrays, the exponentials at one phase along y and the factors to the phase above (or both as logarithms).
    ``sums``: two arrays, the sums of g_k and of k * g_k over the phases k along y.
    ``low``: ``(2, C, rows, w + 2)``, either of the two at the resolution of the logits, the first and last column repeated.
    ``base``: ``(P,)`` places of the samples' entries of channel 0 in a flat array.
    ``support``: the rows of logits that the strip is interpolated from; ``above`` and ``below`` are the rows, counted from the
    first of them, at the upper and lower end of each row of cells.
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
        """Take the arrays for as many other rows of cells; ``height`` is that of the logits."""
        self.rows = rows
        above, below = rows.left.clamp(min=0), (rows.left + 1).clamp(max=height - 1)
        first = int(above[0])
        self.support = slice(first, int(below[-1]) + 1)
        self.above, self.below = _span(above - first), _span(below - first)

    def points(self, side: int) -> Tensor:
        """Return the columns of :attr:`low` at the left end (``side=1``) or the right end (``side=2``) of every cell."""
        beside = [self.low[..., point + side:point + side + stop - start] for start, stop, point in self.cols.runs]
        return beside[0] if len(beside) == 1 else torch.cat(beside, -1)


def can_walk(logits: Tensor, target: Tensor, adjustment: Adjustment) -> bool:
    """Return whether the walk can compute a cross-entropy, and is likely to be the fastest way.

    It is for CPUs, as it has to read the range of the logits, and pays off from two samples per logit and axis on.
    """
    if adjustment.complement != 0 or logits.device.type != 'cpu':
        return False
    if target.shape[1] < 2 * logits.shape[2] or target.shape[2] < 2 * logits.shape[3]:
        return False
    if adjustment.relief is None:
        return True
    scale = adjustment.scale  # the walk looks for the strongest wrong class among the adjusted logits
    same_order = scale is None or bool((scale == scale[0]).all() & (scale[0] > 0))
    return adjustment.bias is None and same_order


def walk_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, adjustment: Adjustment, *,
                       align_corners: bool = False) -> Tensor:
    r"""Return :math:`\sum_i k_i \ell_i`, with the adjusted cross-entropy of the up-sampled logits at the output pixels ``i``.

    Args:
        logits: ``(N, C, h, w)`` scores for which :func:`can_walk` is true; the only input with a gradient.
        target: ``(N, H, W)`` labels; any numbers where the coefficient is 0.
        coefficient: ``(N, H, W)`` factors ``k``, in float32 or float64.
        adjustment: The arguments of :func:`mmimb.functional.adjusted_cross_entropy`.
        align_corners: As in ``F.interpolate``.

    Returns:
        A scalar in the dtype of the coefficient.
    """
    return with_gradient(logits, lambda low, gradient: _walk(low, target, coefficient, adjustment, align_corners, gradient))


def _walk(logits: Tensor, target: Tensor, coefficient: Tensor, adjustment: Adjustment, align_corners: bool,
          gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Return the sum over all strips and, if asked for, its gradient."""
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
            total += _walk_strip(strip, logits[image], labels, adjustment, into)
    if grad is not None and adjustment.scale is not None:
        grad.mul_(adjustment.scale.view(-1, 1, 1))
    return total.to(coefficient.dtype), grad


def _labels(strip: Strip, target: Tensor, coefficient: Tensor, margin: Tensor | None) -> Labels:
    """Sort the ``(H, W)`` labels and coefficients of an image by phase and cell."""
    label = _by_phase(strip, target).clamp_(0, strip.low.shape[1] - 1)
    shift = None if margin is None else -margin.index_select(0, label.flatten()).view_as(label)
    return Labels(torch.add(strip.base, label, alpha=strip.size, out=label), _by_phase(strip, coefficient), shift)


def _by_phase(strip: Strip, image: Tensor) -> Tensor:
    """Return ``(H, W)`` numbers as ``(phases along y, P)``, 0 for padding."""
    rows, cols = strip.rows, strip.cols
    if rows.start is None or cols.start is None:
        pixel = rows.sample[:, None, :, None] * image.shape[1] + cols.sample[:, None, :]
        counts = (rows.counts[:, None, :, None] * cols.counts[:, None, :]).to(image.dtype)
        return image.flatten().index_select(0, pixel.flatten()).view_as(pixel).mul_(counts).flatten(1)
    result = image.new_zeros(len(rows), rows.phases, len(cols), cols.phases)
    frame = result.view(len(rows) * rows.phases, -1)  # an image with a rim of padding
    held = image[max(rows.start, 0):rows.start + len(frame), max(cols.start, 0):cols.start + frame.shape[1]]
    top, side = max(-rows.start, 0), max(-cols.start, 0)
    frame[top:top + len(held), side:side + held.shape[1]] = held
    return result.permute(1, 3, 0, 2).flatten(1)


def _span(points: Tensor) -> slice | Tensor:
    """Return the numbers as a slice, which indexes faster, if they are consecutive."""
    return slice(int(points[0]), int(points[-1]) + 1) if bool((points.diff() == 1).all()) else points


def _walk_strip(strip: Strip, logits: Tensor, labels: Labels, adjustment: Adjustment, grad: Tensor | None) -> Tensor:
    """Return the sum over a strip of ``(C, h, w)`` logits; add its gradient with respect to scale * logits to ``grad``."""
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
    """Return logits with the same softmax, and whether exponentials can be multiplied: none may overflow or become 0.

    They can if all logits are within ±reach, or, after the maximum over the classes is subtracted, above -2 * reach. Margin and
    relief shift the label's logit, and so make both ranges smaller. The maximum may be subtracted before the interpolation: it
    is linear, so that the classes of a sample still differ by the same amounts.
    """
    shift = adjustment.largest_shift()
    least, most = low.aminmax()
    exact = adjustment.relief is not None  # rounding of products would choose among equally strong classes
    if shift - reach <= float(least) and float(most) <= reach - shift:
        return low, not exact
    low = low - low.amax(0, keepdim=True)
    return low, float(low.amin()) >= shift - 2 * reach and not exact


def _begin(strip: Strip, top: Tensor, bottom: Tensor, multiply: bool) -> None:
    """Fill ``strip.exps`` for the last phase along y.

    Args:
        strip: Its ``low`` and ``sums`` are overwritten.
        top: ``(C, rows, w)`` logits at the upper end of each row of cells, as powers of 2 if ``multiply``.
        bottom: Those at the lower end.
        multiply: Whether to take exponentials, or leave logarithms.
    """
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
    """Return the gradients of the ``(C, rows, w)`` logits at the upper and lower end of each row of cells.

    The arrays of the strip are overwritten.
    """
    rows, sums = strip.rows, strip.sums_at
    for k in reversed(range(1, strip.cols.phases)):
        sums[k - 1].add_(sums[k])  # now sums[k] = sum of g_j over j >= k; sums[0] is the plain sum
    for k in range(2, strip.cols.phases):
        sums[1].add_(sums[k])  # g_j is in sums[1] ... sums[j], so that this adds up j * g_j
    right = torch.mul(sums[0], strip.offset, out=strip.exps_at[0])
    if strip.cols.phases > 1:
        right.add_(sums[1], alpha=strip.cols.step)
    left = sums[0].sub_(right)
    low = strip.low.zero_()
    for start, stop, point in strip.cols.runs:
        low[..., point + 1:point + 1 + stop - start].add_(left[..., start:stop])
        low[..., point + 2:point + 2 + stop - start].add_(right[..., start:stop])
    low[..., 1].add_(low[..., 0])  # the repeated columns are the same logits
    low[..., -2].add_(low[..., -1])
    plain, times_k = low[..., 1:-1]
    bottom = times_k.mul_(rows.step).addcmul_(plain, rows.offset.to(plain.dtype).view(-1, 1))
    return plain.sub_(bottom), bottom
