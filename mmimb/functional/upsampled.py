"""Weighted sums of pixel losses over bilinearly up-sampled logits, by their definition: what faster ways are held against."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .binary import adjusted_binary_cross_entropy, positive_channels
from .cross_entropy import adjusted_cross_entropy, complement_entropy
from .layout import per_class
from .outlying import outlying_squared_error


def upsample(logits: Tensor, size: torch.Size | tuple[int, int], align_corners: bool = False) -> Tensor:
    """Return ``(N, C, h, w)`` logits as bilinear ``(N, C, *size)``, computed in float32 at least."""
    logits = logits if logits.dtype.itemsize >= 4 else logits.float()
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=align_corners)


def upsampled_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                            scale: Tensor | None = None, bias: Tensor | None = None, margin: Tensor | None = None,
                            relief: Tensor | None = None, gamma: float = 0.0, complement: float = 0.0) -> Tensor:
    r"""Return :math:`\sum_i k_i \ell_i` with the adjusted cross-entropy of the up-sampled logits at the output pixels ``i``.

    :math:`\ell = -(1 - p_y)^\gamma \log p_y + \frac{complement}{C - 1} H`: the first term as in
    :func:`mmimb.functional.adjusted_cross_entropy`, ``H`` the :func:`mmimb.functional.complement_entropy` of
    :math:`a \odot z + b`.

    Args:
        logits: ``(N, C, h, w)`` scores ``z`` at any resolution; the only input with a gradient.
        target: ``(N, H, W)`` labels in ``[0, C)``, also where the coefficient is 0.
        coefficient: ``(N, H, W)`` factors ``k``: 0 at ignored pixels, elsewhere pixel weight × class weight / divisor.
        align_corners: As in ``F.interpolate``.
        scale: ``(C,)`` factors ``a``.
        bias: ``(C,)`` offsets ``b``.
        margin: ``(C,)`` margins of the labels.
        relief: ``(C,)`` amounts given back for the strongest wrong class of ``z``.
        gamma: Focal exponent; 0 is none.
        complement: Factor of the complement entropy; 0 is none.

    Returns:
        A scalar in float32, or float64 for float64 logits.
    """
    z = upsample(logits, target.shape[1:], align_corners)
    loss = adjusted_cross_entropy(z, target, scale=scale, bias=bias, margin=margin, relief=relief, gamma=gamma)
    if complement != 0:
        z = z if scale is None else z * per_class(scale, z)
        z = z if bias is None else z + per_class(bias, z)
        loss = loss + complement / (z.shape[1] - 1) * complement_entropy(z, target)
    return (coefficient * loss).sum()


def upsampled_squared_error(logits: Tensor, target: Tensor, coefficient: Tensor, *, labels: Tensor,
                            align_corners: bool = False) -> Tensor:
    r"""Return :math:`\sum_i k_i \frac1C \sum_j (z_j - t_j)^2` over the output pixels ``i``, ``t`` the outlying labels.

    Args:
        logits: As for :func:`upsampled_cross_entropy`.
        target: As there.
        coefficient: As there.
        labels: ``(C,)`` label values (see :func:`mmimb.functional.outlying_squared_error`).
        align_corners: As in ``F.interpolate``.

    Returns:
        A scalar in float32, or float64 for float64 logits.
    """
    z = upsample(logits, target.shape[1:], align_corners)
    return (coefficient * outlying_squared_error(z, target, labels)).sum()


def upsampled_binary_cross_entropy(logits: Tensor, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                                   bias: Tensor | None = None, lam: float = 1.0, gamma: float = 0.0,
                                   factor: Tensor | None = None, table: Tensor | None = None) -> Tensor:
    r"""Return :math:`\sum_i k_i \frac1C \sum_j f_{nj} t_{yj} \ell_j` over the output pixels ``i`` of the images ``n``.

    :math:`\ell_j` is :func:`mmimb.functional.adjusted_binary_cross_entropy`; positive is the channel of the label, for
    ``C = 1`` the channel of pixels with label 1.

    Args:
        logits: As for :func:`upsampled_cross_entropy`; ``C = 1`` too.
        target: As there, in ``[0, max(C, 2))``.
        coefficient: As there.
        align_corners: As in ``F.interpolate``.
        bias: ``(C,)`` offsets subtracted from the logits.
        lam: Negative-tolerance scale; 1 is none.
        gamma: Focal exponent; 0 is none.
        factor: ``(N, C)`` weights ``f`` of the channels in each image.
        table: ``(C, C)`` weights ``t``: row ``y`` holds those of the channels at pixels with label ``y``.

    Returns:
        A scalar in float32, or float64 for float64 logits.
    """
    z = upsample(logits, target.shape[1:], align_corners)
    weight = None if factor is None else factor[:, :, None, None]
    if table is not None:
        per_pixel = table[target].movedim(-1, 1)
        weight = per_pixel if weight is None else weight * per_pixel
    loss = adjusted_binary_cross_entropy(z, positive_channels(z, target), bias=bias, lam=lam, factor=weight, gamma=gamma)
    return (coefficient * loss.mean(1)).sum()
