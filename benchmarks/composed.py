"""Logits as a trained network gives them, composed: few classes in an image, regions with soft borders, the rest far below."""
from __future__ import annotations

from typing import Any

PRESENT = 12  # classes in an image; ADE20K has 10 on average
REGION = 32  # logits from one bump of a class's score to the next


def composed(images: int, classes: int, height: int, width: int, seed: int = 0) -> Any:
    """Return ``(images, classes, height, width)`` logits; 12 % of the cells between four of them lie on a border of regions.

    As many as in CamVid's labels at a quarter of their 480 x 360 (12.4 %); photographs with fewer classes have fewer.
    """
    import torch
    import torch.nn.functional as F
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, height, width, generator=generator).mul_(0.7).sub_(5)
    bumps = [2 + round(size / REGION) for size in (height, width)]
    for image in logits:
        there = torch.randperm(classes, generator=generator)[:PRESENT]
        field = F.interpolate(torch.randn(1, len(there), *bumps, generator=generator), (height, width), mode='bicubic')[0]
        image[there] = 6 * field + 0.1 * image[there] + 2
    return logits


def border_share(logits: Any) -> float:
    """Return the share of cells between four logits whose corners are not all of one class."""
    winner = logits.argmax(1)
    corners = [winner[:, y:y - 1 or None, x:x - 1 or None] for y in (0, 1) for x in (0, 1)]
    return float(sum(corners[0] != corner for corner in corners[1:]).bool().float().mean())
