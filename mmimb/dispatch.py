"""The one place that decides how a loss gets from low-resolution logits to labels of full resolution."""
from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from .functional import strips

MODES = ('auto', 'fused', 'strip', 'stock')


@dataclass(frozen=True)
class Upsample:
    """How the logits come to the size of the labels.

    Args:
        mode: ``'stock'`` up-samples them and computes the loss on the result. The others never hold full-resolution logits:
            ``'strip'`` goes through them strip by strip, on any device, ``'fused'`` is a Triton kernel. ``'auto'`` is the first
            of ``'fused'``, ``'strip'`` and ``'stock'`` that there is for the loss, the device and the dtype.
        align_corners: As in ``F.interpolate``.
    """

    mode: str = 'auto'
    align_corners: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f'`upsample` must be one of {MODES}, got {self.mode!r}')


@dataclass(frozen=True)
class Formula:
    """A loss as one of the functions of :mod:`mmimb.functional.upsampled`.

    Args:
        name: Of the function, without ``upsampled_``.
        arguments: Its keyword arguments.
        factor: What its value is multiplied by.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    factor: float = 1.0

    def total(self, functions: ModuleType, logits: Tensor, target: Tensor, coefficient: Tensor, align_corners: bool) -> Tensor:
        """Return the sum of the losses times the coefficients, by the function of that name in a module of them."""
        coefficient = coefficient if self.factor == 1 else self.factor * coefficient
        value: Tensor = getattr(functions, f'upsampled_{self.name}')(logits, target, coefficient, align_corners=align_corners,
                                                                     **self.arguments)
        return value


def check_mode(mode: str, loss: str, obstacle: str) -> None:
    """Refuse a mode without full-resolution logits for a loss that cannot do without them, for the reason ``obstacle``."""
    if obstacle and mode in ('fused', 'strip'):
        raise ValueError(f"`upsample` must be 'auto' or 'stock' for {loss} ({obstacle}), got {mode!r}")


def check_fused(mode: str, loss: str) -> None:
    """Refuse ``'fused'`` for a loss that is none of our formulas."""
    if mode == 'fused':
        raise ValueError(f"`upsample` must be 'strip', 'stock' or 'auto' for {loss} (there is no kernel for this loss), got "
                         f'{mode!r}')


def implementation(mode: str, formula: Formula | None, logits: Tensor) -> ModuleType:
    """Return the module whose functions compute a formula from low-resolution logits: the kernels or the strips.

    Args:
        mode: One of ``MODES``, but for ``'stock'``.
        formula: None for a loss that is computed by its own eager function in each strip.
        logits: ``(N, C, h, w)`` scores.

    Raises:
        ValueError: The mode is ``'fused'``, and there is no kernel; the message says why, and what to write instead.
    """
    if mode == 'strip' or (mode == 'auto' and logits.device.type != 'cuda'):
        return strips
    kernels = kernels_if_any()
    if kernels is None:
        reason = 'the kernels need mmimb.kernels and the package triton, 3.6 or newer'
    elif formula is None:
        reason = 'there is no kernel for this loss'
    else:
        reason = kernels.supports(formula.name, logits)
        if reason is None:
            return kernels
    if mode == 'fused':
        raise ValueError(f"`upsample` must be 'strip', 'stock' or 'auto' here ({reason}), got 'fused'")
    _say_once(reason)
    return strips


@torch.compiler.disable
@cache
def _say_once(reason: str) -> None:
    print_log(f"upsample='auto' goes by strips, for {reason}", 'current', logging.INFO)


@cache
def kernels_if_any() -> Any:
    """Return the kernels, or None where they or Triton are missing; a folder without code counts as missing."""
    found = [find_spec(name) for name in ('mmimb.kernels', 'triton')]
    if not all(spec is not None and spec.origin for spec in found):
        return None
    try:
        return import_module('mmimb.kernels')
    except ImportError:  # a Triton too old to have what they import
        return None
