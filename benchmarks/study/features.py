"""The encoder's features of every training view and of every image of dev and test, computed once and kept on disk."""
from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from encoder import CHANNELS, STRIDES, EfficientNetLite0, normalise
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules
from sets import StudySet
from store import read_stats
from torch import Tensor

import mmimb.registry  # noqa: F401  (the scope mmimb)

IGNORED = 255
FACTORS = 10  # sizes among which that of a training view is drawn
register_all_modules()


def view_pipeline(study: StudySet, size: str) -> list[dict[str, Any]]:
    """Return how a training view is made."""
    factors = np.linspace(*study.ratio, FACTORS).round(3).tolist()
    resizes = [[{'type': 'Resize', 'scale_factor': factor, 'keep_ratio': True}] for factor in factors]
    distort = [{'type': 'PhotoMetricDistortion'}] if study.colour else []
    return [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}, *study.prepare,
            {'type': 'RandomChoice', 'transforms': resizes}, {'type': 'RandomCrop', 'crop_size': study.shape(size)},
            {'type': 'RandomFlip', **study.flip}, *distort, {'type': 'PackSegInputs'}]


def whole_pipeline(study: StudySet) -> list[dict[str, Any]]:
    """Return how an image of dev or test is read."""
    return [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}, *study.prepare, {'type': 'PackSegInputs'}]


class Features:
    """A folder of arrays, read through memory maps.

    Items are training views of one size, or whole images of any size: item k is a slice of the flat array of each stride.
    ``meta.json``: ``stems``, ``shapes`` (padded height and width of each item), ``sizes`` (true ones), ``classes``.
    """

    def __init__(self, folder: Path) -> None:
        self.meta = json.loads((folder / 'meta.json').read_text(encoding='utf-8'))
        shapes = np.array(self.meta['shapes'], dtype=np.int64)
        self.shapes = shapes
        pixels = shapes.prod(1)
        self._starts = np.concatenate([[0], np.cumsum(pixels)])
        self._maps = [np.load(folder / f'stride{s}.npy', mmap_mode='r') for s in STRIDES]
        self._labels = np.load(folder / 'labels.npy', mmap_mode='r')
        self.present = np.load(folder / 'present.npy')

    def __len__(self) -> int:
        return len(self.shapes)

    def item(self, k: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the ``(c, h, w)`` float16 features and the ``(H, W)`` labels of item k, padded with 255."""
        height, width = self.shapes[k]
        start, stop = self._starts[k], self._starts[k + 1]
        found = []
        for values, channels, stride in zip(self._maps, CHANNELS, STRIDES, strict=True):
            part = values[start * channels // stride ** 2:stop * channels // stride ** 2]
            found.append(part.reshape(channels, height // stride, width // stride))
        return found, self._labels[start:stop].reshape(height, width)

    def batch(self, items: list[int], device: str) -> tuple[list[Tensor], Tensor]:
        """Return float32 features, channels last for speed, and ``(N, H, W)`` labels of items of one size."""
        parts = [self.item(k) for k in items]
        features = [torch.from_numpy(np.stack([p[0][s] for p in parts])).to(device).float().contiguous(
            memory_format=torch.channels_last) for s in range(len(STRIDES))]
        return features, torch.from_numpy(np.stack([p[1] for p in parts])).to(device).long()


def ensure_features(study: StudySet, split: str, root: Path, folder: Path, size: str, device: str) -> Features:
    """Return the features of a split, computed if they are not there: of training views for ``fit``, else of whole images."""
    if not (folder / 'meta.json').is_file():
        _write(study, split, root, folder, size, device)
    return Features(folder)


def ensure_stats(study: StudySet, root: Path, path: Path) -> dict[str, Any]:
    """Return the counts of the training labels as evaluation sees them, for losses; computed if they are not there."""
    if not path.is_file():
        data = DATASETS.build(study.config('fit', whole_pipeline(study), root))
        classes = list(data.metainfo['classes'])
        counts = np.stack([np.bincount(data[k]['data_samples'].gt_sem_seg.data.numpy().ravel(), minlength=256)
                           for k in range(len(data))])
        ignored, counts = counts[:, IGNORED].sum(), counts[:, :len(classes)]
        stats = {'classes': classes, 'pixels': counts.sum(0).tolist(), 'images': (counts > 0).sum(0).tolist(),
                 'num_images': len(data), 'ignored_pixels': int(ignored),
                 'image_pixels': ((counts > 0) * counts.sum(1, keepdims=True)).sum(0).tolist()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(stats), encoding='utf-8')
    return read_stats(path)


def _samples(study: StudySet, split: str, root: Path, size: str) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield stem, image and label; the views of an image follow each other, each with a random state of its own."""
    pipeline = view_pipeline(study, size) if split == 'fit' else whole_pipeline(study)
    data = DATASETS.build(study.config(split, pipeline, root))
    for k in range(len(data)):
        for view in range(study.views if split == 'fit' else 1):
            seed = zlib.crc32(f'{study.name} {k} {view}'.encode())
            np.random.seed(seed)  # noqa: NPY002  (mmcv's transforms draw from the global generators)
            random.seed(seed)
            packed = data[k]
            yield Path(data.get_data_info(k)['img_path']).stem, packed['inputs'], packed['data_samples'].gt_sem_seg.data[0]


@torch.no_grad()
def _write(study: StudySet, split: str, root: Path, folder: Path, size: str, device: str) -> None:
    encoder = EfficientNetLite0().to(device)
    folder.mkdir(parents=True, exist_ok=True)
    files = [(folder / f'stride{s}.raw').open('wb') for s in STRIDES]
    labels = (folder / 'labels.raw').open('wb')
    stems, shapes, sizes, present = [], [], [], []
    crop = study.shape(size) if split == 'fit' else None
    for stem, image, label in _samples(study, split, root, size):
        height, width = crop or (-(-n // 32) * 32 for n in label.shape)
        pad = (0, width - label.shape[1], 0, height - label.shape[0])
        found = encoder(F.pad(normalise(image), pad)[None].to(device))
        for file, feature in zip(files, found, strict=True):
            file.write(feature[0].half().cpu().numpy().tobytes())
        labels.write(F.pad(label, pad, value=IGNORED).to(torch.uint8).numpy().tobytes())
        present.append(np.bincount(label.numpy().ravel(), minlength=256)[:IGNORED] > 0)
        stems.append(stem)
        shapes.append([height, width])
        sizes.append(list(label.shape))
    for file, name, dtype in zip([*files, labels], [*(f'stride{s}' for s in STRIDES), 'labels'],
                                 [*[np.float16] * len(STRIDES), np.uint8], strict=True):
        file.close()
        raw = folder / f'{name}.raw'
        np.save(folder / f'{name}.npy', np.memmap(raw, dtype, 'r'))
        raw.unlink()
    np.save(folder / 'present.npy', np.stack(present))
    (folder / 'meta.json').write_text(json.dumps({'stems': stems, 'shapes': shapes, 'sizes': sizes}), encoding='utf-8')
