#!/usr/bin/env python
"""Logits as a trained network gives them, composed: few classes in an image, regions with soft borders, the rest far below.

    python benchmarks/composed.py data/camvid/annotations

prints how dense the borders of regions are, in these logits and in a folder of label files at a quarter of their size.
"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PRESENT = 12  # classes in an image; ADE20K has 10 on average
REGION = 32  # logits from one bump of a class's score to the next


def composed(images: int, classes: int, height: int, width: int, seed: int = 0) -> Any:
    """Return ``(images, classes, height, width)`` logits."""
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


def border_share(labels: Any) -> float:
    """Return the share of cells between four of ``(N, H, W)`` labels that are not all of one class."""
    corners = [labels[:, y:labels.shape[1] - 1 + y, x:labels.shape[2] - 1 + x] for y in (0, 1) for x in (0, 1)]
    return float(sum((corners[0] != corner) for corner in corners[1:]).astype(bool).mean())


def main() -> None:
    import cv2
    import numpy as np
    logits = composed(2, 150, 128, 128)
    print(f'composed: {border_share(logits.argmax(1).numpy()):.1%}, mean confidence {logits.softmax(1).amax(1).mean():.2f}')
    shares = [border_share(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[None, 2::4, 2::4].astype(np.int64))
              for folder in sys.argv[1:] for path in sorted(Path(folder).rglob('*.png'))]
    if shares:
        print(f'{len(shares)} label files: {np.mean(shares):.1%}')


if __name__ == '__main__':
    main()
