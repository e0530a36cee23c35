"""A dataset of tiny label maps with known content, for the tests of the samplers."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS

from mmimb.scan import build_split, scan_dataset
from mmimb.scan.report import write_report

CLASSES = ('road', 'car', 'sign', 'bear', 'pole')
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
# Pixels of each class in each image of 8 x 8, the rest ignored: road in all, bear in none, the last but one unlabelled.
CONTENT = [(64, 0, 0, 0, 0), (60, 4, 0, 0, 0), (50, 10, 4, 0, 0), (40, 20, 0, 0, 0), (60, 0, 0, 0, 0), (30, 30, 0, 0, 1),
           (64, 0, 0, 0, 0), (20, 40, 0, 0, 3), (30, 30, 0, 0, 0), (63, 1, 0, 0, 0), (0, 0, 0, 0, 0), (1, 40, 0, 0, 0)]


def write_images(folder: Path, content: Sequence[Sequence[int]] = CONTENT) -> dict[str, Any]:
    """Write an image and a label map per row of ``content`` and return the config of their dataset."""
    for kind in ('images', 'labels'):
        (folder / kind).mkdir(parents=True)
    for i, pixels in enumerate(content):
        label = np.repeat([*range(len(pixels)), 255], [*pixels, 64 - sum(pixels)]).astype(np.uint8).reshape(8, 8)
        cv2.imwrite(str(folder / f'labels/{i:02d}.png'), label)
        cv2.imwrite(str(folder / f'images/{i:02d}.png'), np.full((8, 8, 3), 20 * i, np.uint8))
    return dict(type='BaseSegDataset', data_root=str(folder), img_suffix='.png', metainfo=dict(classes=CLASSES),
                data_prefix=dict(img_path='images', seg_map_path='labels'), pipeline=PIPELINE)


def build(dataset: dict[str, Any]) -> Any:
    """Build a dataset as training does."""
    return build_split(Config(dict(train_dataloader=dict(dataset=dataset))))


def scan(dataset: Any, path: Path) -> Path:
    """Write the report of the scanner."""
    write_report(scan_dataset(dataset, workers=0), path)
    return path


def sampler(kind: str, dataset: Any, report: Any, **arguments: Any) -> Any:
    """Build a sampler as the runner does."""
    stats = str(report) if isinstance(report, Path) else report
    return DATA_SAMPLERS.build(dict(type=f'mmimb.{kind}', stats=stats, **arguments), default_args=dict(dataset=dataset, seed=5))


def class_rule(probability: Sequence[float], contains: np.ndarray) -> np.ndarray:
    """Return the ``(N,)`` probability of each item: a class is drawn, then evenly one of the items that contain it."""
    return (np.asarray(probability) * contains / np.maximum(contains.sum(0), 1)).sum(1)


def chi_square(draws: Sequence[int], probability: np.ndarray) -> float:
    """Return the statistic of the draws; infinite if one has probability 0."""
    counts = np.bincount(draws, minlength=len(probability))
    possible = probability > 0
    if counts[~possible].any():
        return np.inf
    expected = len(draws) * probability[possible]
    return float(((counts[possible] - expected)**2 / expected).sum())
