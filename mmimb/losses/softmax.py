"""Losses on the softmax of the logits."""
from __future__ import annotations

from torch import Tensor

from ..functional import adjusted_cross_entropy
from ..registry import MODELS
from .base import PixelLoss


@MODELS.register_module()
class CrossEntropyLoss(PixelLoss):
    """Cross-entropy whose class weights survive ignored pixels and whose mean counts valid pixels only."""

    def per_pixel(self, logits: Tensor, target: Tensor, class_weight: Tensor | None) -> Tensor:
        return adjusted_cross_entropy(logits, target, class_weight=class_weight)
