"""Bilinearly up-sampled logits."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(logits: Tensor, size: torch.Size | tuple[int, int], align_corners: bool = False) -> Tensor:
    """Return ``(N, C, h, w)`` logits as bilinear ``(N, C, *size)``, computed in float32 at least."""
    logits = logits if logits.dtype.itemsize >= 4 else logits.float()
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=align_corners)
