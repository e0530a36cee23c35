"""Bilinearly up-sampled logits: all of them, or those of some rows and columns."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(logits: Tensor, size: torch.Size | tuple[int, int], align_corners: bool = False) -> Tensor:
    """Return ``(N, C, h, w)`` logits as bilinear ``(N, C, *size)``, computed in float32 at least."""
    logits = logits if logits.dtype.itemsize >= 4 else logits.float()
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=align_corners)


def upsample_at(logits: Tensor, size: torch.Size | tuple[int, int], rows: slice, columns: slice, *,
                align_corners: bool = False) -> Tensor:
    """Return ``upsample(logits, size, align_corners)[:, :, rows, columns]`` in float32, without computing the rest.

    Args:
        logits: ``(N, C, h, w)`` scores.
        size: Height and width of the up-sampled logits.
        rows: Which of the rows to return.
        columns: Which of the columns to return.
        align_corners: As in ``F.interpolate``.
    """
    places = []  # in the coordinates of F.grid_sample, where an image reaches from -1 to 1
    for length, kept in zip(size, (rows, columns), strict=True):
        index = torch.arange(length, device=logits.device, dtype=torch.float32)[kept]
        places.append(2 * index / max(length - 1, 1) - 1 if align_corners else (2 * index + 1) / length - 1)
    y, x = places
    grid = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1).expand(len(logits), -1, -1, -1)
    return F.grid_sample(logits.float(), grid, mode='bilinear', padding_mode='border', align_corners=align_corners)
