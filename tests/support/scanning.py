"""Small datasets to scan, and a slow reference that shares no code with the scanner."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

from mmimb.scan import build_split
from mmimb.stats import PerImageCounts

CLASSES = ('a', 'b', 'c', 'd')
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs')]


def write_pair(root: Path, name: str, label: np.ndarray, split: str = 'train') -> tuple[Path, Path]:
    """Write a label and an image of its size whose content is that of ``name`` alone; return both paths."""
    image = root / f'images/{split}/{name}.jpg'
    path = root / f'annotations/{split}/{name}.png'
    for file in (image, path):
        file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([*f'{split}{name}'.encode()])
    Image.fromarray(rng.integers(0, 255, (*label.shape, 3), np.uint8)).save(image)
    Image.fromarray(label).save(path)
    return image, path


def leaf(root, split: str = 'train', **arguments) -> dict:
    return {'type': 'BaseSegDataset', 'data_root': str(root), 'metainfo': dict(classes=CLASSES), 'pipeline': PIPELINE,
            'data_prefix': dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'), **arguments}


def build(dataset: dict, **rest):
    return build_split(Config(dict(train_dataloader=dict(dataset=dataset), **rest)))


def dense(counts: PerImageCounts, num_classes: int) -> np.ndarray:
    """Return the int64 ``(N, C)`` counts."""
    out = np.zeros((len(counts), num_classes), np.int64)
    for image in range(len(counts)):
        for at in range(counts.indptr[image], counts.indptr[image + 1]):
            out[image, counts.class_index[at]] = counts.pixels[at]
    return out
