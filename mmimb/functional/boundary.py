"""Counting predictions against labels in a band along the edges of the classes (Boundary IoU, arXiv 2103.16562)."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def band_width(height: int, width: int, share: float) -> int:
    """Return the width of the band in pixels: a share of the image's diagonal, at least 1."""
    return max(1, round(share * math.hypot(height, width)))


def boundary_band(labels: Tensor, valid: Tensor, distance: int, *, outside: bool = True) -> Tensor:
    """Return where a pixel of another class, or the outside of the image, is within ``distance`` in both directions.

    For each class these are the pixels of its mask that the paper's erosion (3 x 3, ``distance`` times) takes away, for all
    classes at once. Pixels that are not valid are in no band, and make none.

    Args:
        labels: ``(H, W)`` classes from 0.
        valid: ``(H, W)`` bool.
        distance: In pixels, at least 1.
        outside: Whether the edge of the image is one.
    """
    window, band = 2 * distance + 1, torch.zeros_like(valid)
    for values in (labels.float(), -labels.float()):
        known = F.pad(values.masked_fill(~valid, -math.inf), (distance, ) * 4, value=math.inf if outside else -math.inf)
        band |= _window_max(known, window) != values
    return band & valid


def boundary_counts(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int, distance: int) -> Tensor:
    """Return the ``(3, C)`` int64 pixels of each class in the bands of label and prediction: in both, label's, prediction's.

    Args:
        pred: ``(H, W)`` predicted classes in ``[0, C)``.
        label: ``(H, W)`` labels in ``[0, C)`` or ``ignore_index``.
        num_classes: C.
        ignore_index: The label of pixels that do not count, and that make no edge.
        distance: Width of the band in pixels.
    """
    valid = label != ignore_index
    bands = [boundary_band(classes, valid, distance) for classes in (label, pred)]
    both = bands[0] & bands[1] & (label == pred)
    parts = ((label, both), (label, bands[0]), (pred, bands[1]))
    return torch.stack([torch.bincount(classes[mask].long(), minlength=num_classes) for classes, mask in parts])


def _window_max(values: Tensor, window: int) -> Tensor:
    """Return the ``(H - window + 1, W - window + 1)`` maxima of all square windows."""
    for dim in (0, 1):
        reach = 1  # an entry is the maximum of so many
        while reach < window:
            step = min(reach, window - reach)
            length = values.shape[dim] - step
            values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
            reach += step
    return values
