"""Bilinear up-sampling at some rows and columns of the output only."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample_at(logits: Tensor, size: torch.Size | tuple[int, int], rows: slice, columns: slice,
                align_corners: bool = False) -> Tensor:
    """Return ``F.interpolate(logits, size, mode='bilinear')[..., rows, columns]`` without computing the rest.

    Args:
        logits: ``(N, C, h, w)`` scores, computed in float32.
        size: Height and width of the whole output.
        rows: Which rows of it to return.
        columns: Which columns.
        align_corners: As in ``F.interpolate``.

    Returns:
        ``(N, C, number of rows, number of columns)``, in float32.
    """
    y, x = (_positions(length, part, align_corners, logits.device)
            for length, part in zip(size, (rows, columns), strict=True))
    grid = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)
    grid = grid.expand(len(logits), -1, -1, -1)
    return F.grid_sample(logits.float(), grid, mode='bilinear', padding_mode='border', align_corners=align_corners)


def _positions(length: int, part: slice, align_corners: bool, device: torch.device) -> Tensor:
    """Return where output samples lie along an axis, as ``grid_sample`` counts: from -1 to 1 over the whole axis."""
    index = torch.arange(length, device=device, dtype=torch.float32)[part]
    return 2 * index / max(length - 1, 1) - 1 if align_corners else (2 * index + 1) / length - 1
