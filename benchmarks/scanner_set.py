"""Labels in the layout of Cityscapes to measure the scanner on."""
from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

SIZE, CLASSES = (1024, 2048), 19


def draw(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a label map of overlapping jagged areas of all sizes."""
    height, width = size
    label = np.zeros(size, np.uint8)
    for _ in range(140):
        corners = int(rng.integers(5, 40))
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = 2 ** rng.uniform(3, 9) * rng.uniform(.5, 1, corners) * height / 1024
        place = rng.uniform(0, width), rng.uniform(0, height)
        points = np.stack([place[0] + radius * np.cos(angle), place[1] + radius * np.sin(angle)], 1).astype(np.int32)
        cv2.fillPoly(label, [points], int(rng.choice([*range(CLASSES), 255])))
    return label


def make_set(root: Path, images: int, size: tuple[int, int] = SIZE) -> None:
    for i in range(images):
        label = draw(np.random.default_rng(i), size)
        city, stem = f'city{i % 9}', f'city{i % 9}_{i:06d}_000019'
        files = {root / f'gtFine/train/{city}/{stem}_gtFine_labelTrainIds.png': label,
                 root / f'leftImg8bit/train/{city}/{stem}_leftImg8bit.png': cv2.applyColorMap(label, cv2.COLORMAP_JET)}
        for path, array in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)


def link_set(root: Path, source: Path, images: int) -> None:
    """Link the files of ``source`` as often as it takes."""
    for part, suffix in (('gtFine', '_gtFine_labelTrainIds.png'), ('leftImg8bit', '_leftImg8bit.png')):
        files = sorted((source / part).rglob('*.png'))
        (root / part / 'train/all').mkdir(parents=True)
        for i in range(images):
            os.symlink(files[i % len(files)], root / part / f'train/all/all_{i:06d}{suffix}')
