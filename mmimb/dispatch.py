"""The one place that decides how low-resolution logits meet labels of full resolution.

A loss either gets up-sampled logits (:func:`needs_full_logits`), or its sum over all pixels is computed without them
(:func:`upsampled_sum`): by a kernel, by the walk, or in strips.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from .functional import adjusted_cross_entropy, outlying_squared_error, strips
from .functional.argmax import resized_argmax
from .functional.first_order import uncompiled
from .functional.resizing import Resizing
from .functional.walk import can_walk, walk_cross_entropy
from .functional.walk_steps import Adjustment

MODES = ('auto', 'fused', 'strip', 'stock')


@dataclass(frozen=True)
class Upsample:
    """How the logits come to the size of the labels.

    Args:
        mode: ``'stock'`` up-samples them and computes the loss on the result. The others never hold full-resolution logits:
            ``'strip'`` is plain PyTorch on any device, ``'fused'`` a Triton kernel. ``'auto'`` is the first of ``'fused'``,
            ``'strip'`` and ``'stock'`` that exists for the loss, the device and the dtype.
        align_corners: As in ``F.interpolate``.
    """

    mode: str = 'auto'
    align_corners: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f'`upsample` must be one of {MODES}, got {self.mode!r}')


@dataclass(frozen=True)
class Formula:
    """A loss as a function of :mod:`mmimb.functional` and its arguments, without the weights of labels.

    The focal loss, for example, is ``Formula(adjusted_cross_entropy, {'gamma': 2.0})``.

    Args:
        function: ``function(logits, target, **arguments)`` returns the ``(N, *)`` losses of ``(N, C, *)`` logits. It is called
            on parts of an image, too: a pixel's loss must depend on its own logits only.
        arguments: Its keyword arguments.
        factor: What its value is multiplied by.
        by_image: Further keyword arguments, tensors with a row for each image, or None.
    """

    function: Callable[..., Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    factor: float = 1.0
    by_image: Mapping[str, Tensor | None] = field(default_factory=dict)

    def per_pixel(self, logits: Tensor, target: Tensor, images: slice = slice(None)) -> Tensor:
        """Return the ``(N, *)`` losses of the ``(N, C, *)`` logits of some images, or of parts of them."""
        rows = {name: value if value is None else value[images] for name, value in self.by_image.items()}
        loss = self.function(logits, target, **self.arguments, **rows)
        return loss if self.factor == 1 else self.factor * loss


def upsampled_sum(loss: Formula | strips.Losses, logits: Tensor, target: Tensor, coefficient: Tensor,
                  upsample: Upsample) -> Tensor:
    r"""Return :math:`\sum_i k_i \ell_i` over the pixels ``i`` of the up-sampled logits, by the first way that there is.

    * The kernel of the formula, on NVIDIA GPUs.
    * For cross-entropy on a CPU, the walk.
    * For the squared error, strips with its slope written out.
    * For any other loss, strips with autograd.

    Args:
        loss: A formula, or what :func:`mmimb.functional.strips.sum_over_strips` calls for a loss that has none.
        logits: ``(N, C, h, w)`` scores; the only input with a gradient.
        target: ``(N, H, W)`` labels; any numbers where the coefficient is 0.
        coefficient: ``(N, H, W)`` factors ``k``: 0 at ignored pixels, elsewhere pixel weight × label's weight / divisor.
        upsample: Any mode but ``'stock'``.

    Returns:
        A scalar in float32, or float64 for float64 logits.

    Raises:
        ValueError: The mode is ``'fused'``, and there is no kernel.
    """
    align_corners = upsample.align_corners
    if not isinstance(loss, Formula):
        implementation(upsample.mode, None, logits)
        return strips.sum_over_strips(logits, coefficient, loss, align_corners=align_corners)
    scaled = coefficient if loss.factor == 1 else loss.factor * coefficient
    kernels = implementation(upsample.mode, loss, logits)
    if kernels is not strips:
        kernel: Callable[..., Tensor] = getattr(kernels, f'upsampled_{_kernel_name(kernels, loss)}')
        return kernel(logits, target, scaled, align_corners=align_corners, **loss.arguments, **loss.by_image)
    if loss.function is adjusted_cross_entropy:
        adjustment = Adjustment(**loss.arguments)
        if can_walk(logits, target, adjustment):
            return walk_cross_entropy(logits, target, scaled, adjustment, align_corners=align_corners)
    if loss.function is outlying_squared_error:
        return strips.squared_error_over_strips(logits, target, scaled, align_corners=align_corners, **loss.arguments)
    labels = max(logits.shape[1], 2)
    return strips.sum_over_strips(logits, coefficient, lambda z, images, rows: loss.per_pixel(
        z, target[images, rows].clamp(0, labels - 1), images), align_corners=align_corners)


def needs_full_logits(mode: str, loss: str, obstacle: str) -> bool:
    """Return whether a loss is computed from full-resolution logits: it has an ``obstacle``, or the mode is ``'stock'``.

    Raises:
        ValueError: As :func:`check_mode`.
    """
    check_mode(mode, loss, obstacle)
    return bool(obstacle) or mode == 'stock'


def upsampled_lovasz(logits: Tensor, target: Tensor, weight: Tensor, share: Callable[[Tensor], Tensor], upsample: Upsample, *,
                     sigmoid: bool) -> Tensor:
    """Return what :func:`mmimb.functional.strips.lovasz_over_strips` does, on any device: there is no kernel for it.

    Raises:
        ValueError: The mode is ``'fused'``.
    """
    implementation(upsample.mode, None, logits)
    return strips.lovasz_over_strips(logits, target, weight, share, sigmoid=sigmoid, align_corners=upsample.align_corners)


def check_mode(mode: str, loss: str, obstacle: str, *, has_formula: bool = True) -> None:
    """Refuse the modes that a loss does not have.

    Args:
        mode: One of ``MODES``.
        loss: Name of the loss, for the message.
        obstacle: Why the loss needs full-resolution logits; empty if it does not.
        has_formula: Whether the loss has a formula, for which there can be a kernel.
    """
    if obstacle and mode in ('fused', 'strip'):
        raise ValueError(f"`upsample` must be 'auto' or 'stock' for {loss} ({obstacle}), got {mode!r}")
    if mode == 'fused' and not has_formula:
        raise ValueError(f"`upsample` must be 'strip', 'stock' or 'auto' for {loss} (there is no kernel for this loss), got "
                         f'{mode!r}')


def implementation(mode: str, formula: Formula | None, logits: Tensor) -> ModuleType:
    """Return :mod:`mmimb.kernels` or :mod:`mmimb.functional.strips`: which of them computes a loss from low-resolution logits.

    Args:
        mode: One of ``MODES``, but for ``'stock'``.
        formula: The loss; None if it has no formula.
        logits: ``(N, C, h, w)`` scores.

    Raises:
        ValueError: The mode is ``'fused'``, and there is no kernel; the message says why, and what to write instead.
    """
    if mode == 'strip' or (mode == 'auto' and logits.device.type != 'cuda'):
        return strips
    kernels = kernels_if_any()
    if kernels is None:
        reason = 'the kernels need mmimb.kernels and the package triton, 3.6 or newer'
    elif formula is None or (name := _kernel_name(kernels, formula)) is None:
        reason = 'there is no kernel for this loss'
    else:
        reason = kernels.supports(name, logits)
        if reason is None:
            return kernels
    if mode == 'fused':
        raise ValueError(f"`upsample` must be 'strip', 'stock' or 'auto' here ({reason}), got 'fused'")
    _say_once(reason)
    return strips


def class_map(logits: Tensor, resizing: Resizing) -> Tensor:
    """Return the ``(N, H, W)`` classes of :func:`mmimb.functional.argmax.resized_argmax`, by the kernel where there is one."""
    if logits.device.type == 'cuda' and not torch.compiler.is_compiling():
        kernels = kernels_if_any()
        if kernels is not None and kernels.supports('cross_entropy', logits) is None:
            classes: Tensor = kernels.resized_argmax(logits, resizing)
            return classes
    return resized_argmax(logits, resizing)


def _kernel_name(kernels: Any, formula: Formula) -> str | None:
    """Return the name of the kernel that computes the formula; None if there is none."""
    return next((name for name, function in kernels.FORMULAS.items() if function is formula.function), None)


@uncompiled
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
