"""What the kernels accept: formulas, dtypes, devices, and the layout of the inputs."""
from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from ..functional import adjusted_cross_entropy, channel_cross_entropy, outlying_squared_error

FORMULAS: dict[str, Callable[..., Tensor]] = {
    'cross_entropy': adjusted_cross_entropy, 'squared_error': outlying_squared_error,
    'binary_cross_entropy': channel_cross_entropy}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'  # Triton reads it when a kernel is defined


def supports(formula: str, logits: Tensor) -> str | None:
    """Return why the kernels cannot compute a formula of these logits, in words, or None if they can.

    Args:
        formula: A key of :data:`FORMULAS`.
        logits: ``(N, C, h, w)`` scores.
    """
    if formula not in FORMULAS:
        return f'there is no kernel for {formula!r}'
    if logits.ndim != 4:
        return f'the logits have {logits.ndim} dimensions instead of 4'
    if logits.dtype not in DTYPES:
        return f'the logits are {logits.dtype}, the kernels compute in float32'
    if logits.numel() == 0:
        return 'the logits are empty'
    if formula == 'cross_entropy' and logits.shape[1] < 2:
        return 'the logits have one channel, and cross-entropy needs two'
    if INTERPRETED:
        return None
    if logits.device.type != 'cuda' or torch.version.cuda is None:
        return f'the logits are on {logits.device.type!r}, the kernels run on NVIDIA GPUs'
    if torch.cuda.get_device_capability(logits.device) < (8, 0):
        return 'the kernels need a GPU of compute capability 8.0 or more'
    return None


def checked(formula: str, logits: Tensor, target: Tensor, coefficient: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels and coefficients in the layout that the kernels read.

    Raises:
        ValueError: The kernels do not support the logits, or the shapes do not fit.
    """
    reason = supports(formula, logits)
    if reason is not None:
        raise ValueError(f'`logits` must be what the kernels support, but {reason}')
    if target.ndim != 3 or len(target) != len(logits) or target.numel() == 0:
        raise ValueError(f'`target` must have the shape (N, H, W) with the N of the logits, got {tuple(target.shape)} for '
                         f'{tuple(logits.shape)}')
    if coefficient.shape != target.shape:
        raise ValueError(f'`coefficient` must have the shape of `target`, got {tuple(coefficient.shape)}')
    return target.contiguous(), coefficient.detach().float().contiguous()


def vector(name: str, value: Tensor | None, logits: Tensor, *shape: int) -> Tensor | None:
    """Return a vector of classes as float32 beside the logits.

    Raises:
        ValueError: It does not have the shape.
    """
    if value is None:
        return None
    if value.shape != shape:
        raise ValueError(f'`{name}` must have the shape {shape}, got {tuple(value.shape)}')
    return value.detach().to(logits.device, torch.float32).contiguous()
