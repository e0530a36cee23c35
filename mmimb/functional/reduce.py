"""The one place where ignored pixels, label checks, pixel weights and reductions are spelled out."""
from __future__ import annotations

import torch
from torch import Tensor

REDUCTIONS = ('none', 'mean', 'sum')


def split_ignore(target: Tensor, ignore_index: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Split labels into ``(safe, valid)``.

    Args:
        target: ``(N, *)`` integer labels in ``[0, num_classes)`` or ``ignore_index``.
        ignore_index: The label of pixels that do not count.
        num_classes: Number of classes.

    Returns:
        ``(N, *)`` labels with ignored ones replaced by 0 (they can index), and the ``(N, *)`` mask of the others.

    Raises:
        ValueError: A label is neither (on CPU; on other devices and in compiled code an asynchronous assertion fires).
    """
    valid = valid_labels(target, ignore_index, num_classes)
    return target.masked_fill(~valid, 0), valid


def valid_labels(target: Tensor, ignore_index: int, num_classes: int) -> Tensor:
    """Return the ``(N, *)`` mask of the pixels that count; arguments and errors as for :func:`split_ignore`."""
    valid = target != ignore_index
    require_classes('target', target, num_classes, valid=valid, otherwise=f' or ignore_index={ignore_index}')
    return valid


def require_classes(name: str, classes: Tensor, num_classes: int, *, valid: Tensor | None = None, otherwise: str = '') -> None:
    """Refuse classes outside ``[0, num_classes)`` where ``valid``.

    Args:
        name: Of the argument, for the message.
        classes: ``(N, *)`` integers.
        num_classes: Number of classes.
        valid: ``(N, *)`` mask of the pixels to look at; all of them by default.
        otherwise: What else is allowed, for the message.

    Raises:
        ValueError: There is such a class (on CPU; on other devices and in compiled code an asynchronous assertion fires).
    """
    wrong = (classes < 0) | (classes >= num_classes)
    wrong = wrong if valid is None else wrong & valid
    rule = f'`{name}` must be in [0, {num_classes}){otherwise}'
    if type(classes) is not Tensor or classes.device.type != 'cpu' or torch.compiler.is_compiling():
        torch._assert_async(~wrong.any(), rule)
    elif bool(wrong.any()):
        raise ValueError(f'{rule}, got {int(classes[wrong][0])}')


def checked_reduction(reduction: str) -> str:
    """Return ``reduction`` if it is one of :data:`REDUCTIONS`; otherwise raise a ``ValueError``."""
    if reduction not in REDUCTIONS:
        raise ValueError(f'`reduction` must be one of {REDUCTIONS}, got {reduction!r}')
    return reduction


def reduce_pixels(loss: Tensor, valid: Tensor, *, weight: Tensor | None = None, reduction: str = 'mean',
                  divisor: Tensor | float | None = None) -> Tensor:
    """Reduce a per-pixel loss; ignored pixels count nowhere.

    Args:
        loss: ``(N, *)`` unreduced values.
        valid: ``(N, *)`` mask of the pixels that count.
        weight: ``(N, *)`` factors, or something that broadcasts to them.
        reduction: ``'none'`` (zeros at ignored pixels), ``'sum'``, or ``'mean'``: the sum over ``divisor``.
        divisor: What ``'mean'`` divides by; the number of valid pixels, at least 1, by default.

    Returns:
        ``(N, *)`` or a scalar.

    >>> reduce_pixels(torch.tensor([1., 3., 9.]), torch.tensor([True, True, False]))
    tensor(2.)
    """
    checked_reduction(reduction)
    if weight is not None:
        loss = loss * torch.where(valid, weight, 0)
    loss = loss.masked_fill(~valid, 0)
    if reduction == 'none':
        return loss
    if reduction == 'sum':
        return loss.sum()
    return loss.sum() / (valid.sum().clamp(min=1) if divisor is None else divisor)


def hardest(confidence: Tensor, valid: Tensor, *, thresh: float, min_kept: int) -> Tensor:
    """Return the ``(N, *)`` mask of the pixels to learn from: less confident than ``thresh``, and at least ``min_kept``.

    Args:
        confidence: ``(N, *)`` probabilities of the labels, without gradient.
        valid: ``(N, *)`` mask of the pixels that count; if these are fewer than ``min_kept``, all are kept.
        thresh: Probability in ``(0, 1]``.
        min_kept: Pixels of the batch, at least 1.
    """
    if confidence.numel() == 0:
        return valid
    ranked = confidence.masked_fill(~valid, float('inf')).flatten()
    bound = ranked.kthvalue(min(min_kept, ranked.numel())).values
    return valid & ((confidence < thresh) | (confidence <= bound))
