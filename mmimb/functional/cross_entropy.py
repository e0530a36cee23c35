"""Softmax cross-entropy over adjusted logits: one formula behind most of the family."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .layout import per_class


def adjusted_cross_entropy(logits: Tensor, target: Tensor, *, scale: Tensor | None = None, bias: Tensor | None = None,
                           margin: Tensor | None = None, class_weight: Tensor | None = None,
                           gamma: float = 0.0) -> Tensor:
    r"""Per-pixel :math:`-w_y (1 - p_y)^\gamma \log p_y` with :math:`p = \mathrm{softmax}(a \odot z + b - m_y e_y)`.

    Args:
        logits: ``(N, C, *)`` scores ``z``.
        target: ``(N, *)`` labels in ``[0, C)``; ignored pixels are the caller's business.
        scale: ``(C,)`` factors ``a``.
        bias: ``(C,)`` offsets ``b``.
        margin: ``(C,)`` margins ``m``, subtracted from the scaled logit of the label.
        class_weight: ``(C,)`` weights ``w``.
        gamma: Focal exponent; 0 is plain cross-entropy.

    Returns:
        ``(N, *)`` losses.
    """
    z = logits if scale is None else logits * per_class(scale, logits)
    z = z if bias is None else z + per_class(bias, logits)
    if margin is not None:
        z = z.scatter_add(1, target.unsqueeze(1), -margin[target].unsqueeze(1))
    loss = F.cross_entropy(z, target, reduction='none')
    if gamma != 0:
        miss = -(-loss).expm1()  # 1 - p_y without cancellation
        loss = miss.clamp(min=1e-12).pow(gamma) * loss
    return loss if class_weight is None else class_weight[target] * loss
