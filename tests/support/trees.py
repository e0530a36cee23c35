"""Small dataset trees with the folders and file names of the real ones: long-tailed rectangles, every class somewhere."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from mmimb.datasets.demo import make_demo_dataset

CAMVID_CLASSES = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian',
                  'Bicyclist')


def labels(rng: np.random.Generator, size: tuple[int, int], ids: list[int]) -> np.ndarray:
    """Return a ``size`` map with large areas of the first ids and ever smaller rectangles of the others."""
    height, width = size
    out = np.full(size, ids[0], np.uint8)
    for k, c in enumerate(ids[1:], start=1):
        h, w = max(height // (k + 1), 6), max(width // (k + 1), 6)
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        out[top:top + h, left:left + w] = c
    return out


def picture(rng: np.random.Generator, label: np.ndarray) -> np.ndarray:
    """Return a noisy ``(H, W, 3)`` image in which every id has its colour."""
    colour = np.random.default_rng(0).integers(40, 216, (256, 3))
    return np.clip(colour[label] + rng.normal(0, 12, (*label.shape, 3)), 0, 255).astype(np.uint8)


def _write(image: Path, mask: Path, rng: np.random.Generator, label: np.ndarray) -> None:
    for path, array in ((image, picture(rng, label)), (mask, label)):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), array):
            raise OSError(f'cannot write {path}')


def _lines(path: Path, lines: list[str]) -> None:
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def cityscapes(root: Path, size: tuple[int, int] = (128, 256)) -> Path:
    """``leftImg8bit`` and ``gtFine`` with a city per split, label ids and train ids; 255 is ignored."""
    rng = np.random.default_rng(1)
    for split, city, images in (('train', 'aachen', 3), ('val', 'frankfurt', 1)):
        for i in range(images):
            stem = f'{city}_{i:06d}_000019'
            label = labels(rng, size, [0, 255, *range(1, 19)])
            image, fine = root / 'leftImg8bit' / split / city, root / 'gtFine' / split / city
            _write(image / f'{stem}_leftImg8bit.png', fine / f'{stem}_gtFine_labelTrainIds.png', rng, label)
            cv2.imwrite(str(fine / f'{stem}_gtFine_labelIds.png'), np.where(label == 255, 0, label + 7).astype(np.uint8))
    return root


def ade20k(root: Path, size: tuple[int, int] = (96, 128)) -> Path:
    """``images`` and ``annotations`` with training and validation; ids 1 to 150, and 0 for "other"."""
    rng = np.random.default_rng(2)
    for split, short, images in (('training', 'train', 6), ('validation', 'val', 1)):
        for i in range(images):
            stem = f'ADE_{short}_{i + 1:08d}'
            ids = [1, 0, *(2 + (i * 25 + np.arange(30)) % 149).tolist()]
            _write(root / f'images/{split}/{stem}.jpg', root / f'annotations/{split}/{stem}.png', rng, labels(rng, size, ids))
    return root


def pascal_context(root: Path, size: tuple[int, int] = (120, 160)) -> Path:
    """``JPEGImages``, ``SegmentationClassContext`` and the lists; ids 1 to 59, and 0 for background."""
    rng = np.random.default_rng(6)
    (root / 'ImageSets/SegmentationContext').mkdir(parents=True)
    for split, stems in (('train', ['2008_000008', '2008_000015', '2008_000019']), ('val', ['2008_000002'])):
        for i, stem in enumerate(stems):
            ids = [1, 0, *(2 + (i * 20 + np.arange(25)) % 58).tolist()]
            _write(root / f'JPEGImages/{stem}.jpg', root / f'SegmentationClassContext/{stem}.png', rng, labels(rng, size, ids))
        _lines(root / f'ImageSets/SegmentationContext/{split}.txt', stems)
    return root


def coco_stuff164k(root: Path, size: tuple[int, int] = (96, 128)) -> Path:
    """``images`` and ``annotations`` with train2017 and val2017; train ids 0 to 170, 255 is ignored."""
    rng = np.random.default_rng(7)
    for split, numbers in (('train2017', (9, 25, 30, 34, 36, 42)), ('val2017', (139, ))):
        for i, number in enumerate(numbers):
            ids = [0, 255, *(1 + (i * 29 + np.arange(33)) % 170).tolist()]
            stem = f'{number:012d}'
            _write(root / f'images/{split}/{stem}.jpg', root / f'annotations/{split}/{stem}_labelTrainIds.png', rng,
                   labels(rng, size, ids))
    return root


def camvid(root: Path, size: tuple[int, int] = (180, 240)) -> Path:
    """``images``, ``annotations``, the lists and ``classes.txt``; ids 0 to 10, and 11 for void."""
    rng = np.random.default_rng(3)
    fit, dev = ['0001TP_006690', '0001TP_006720', '0001TP_006750', '0016E5_00390'], ['0006R0_f00930', '0006R0_f00960']
    stems = dict(train=[*fit, *dev], val=['0016E5_07959', '0016E5_07961'], test=['0001TP_008550', 'Seq05VD_f00000'])
    for split, names in stems.items():
        for stem in names:
            label = labels(rng, size, [3, 1, 0, 5, 4, 8, 11, 6, 7, 2, 9, 10])
            _write(root / f'images/{split}/{stem}.jpg', root / f'annotations/{split}/{stem}.png', rng, label)
    for name, names in {**stems, 'fit': fit, 'dev': dev}.items():
        _lines(root / f'{name}.txt', names)
    _lines(root / 'classes.txt', list(CAMVID_CLASSES))
    return root


def magnetic_tile(root: Path, size: tuple[int, int] = (96, 112)) -> Path:
    """``images`` and ``annotations`` of tiles, the lists and ``groups.txt``; ids 0 to 5."""
    return _flat(root, size, np.random.default_rng(4), [list(range(6))], prefix='exp1_num_', groups=True)


def ccp(root: Path, size: tuple[int, int] = (136, 112)) -> Path:
    """``images`` and ``annotations`` of photos and the lists; ids 0 to 58."""
    ids = [[0, *range(k, 59, 2)] for k in (1, 2)]
    return _flat(root, size, np.random.default_rng(5), ids, prefix='')


def _flat(root: Path, size: tuple[int, int], rng: np.random.Generator, ids: list[list[int]], prefix: str,
          groups: bool = False) -> Path:
    stems = {split: [f'{prefix}{k:04d}' for k in numbers] for split, numbers in
             (('train', range(6)), ('val', (6, 7)), ('test', (8, 9)))}
    for k, stem in enumerate(stem for names in stems.values() for stem in names):
        _write(root / f'images/{stem}.jpg', root / f'annotations/{stem}.png', rng, labels(rng, size, ids[k % len(ids)]))
    for name, names in stems.items():
        _lines(root / f'{name}.txt', names)
    if groups:
        _lines(root / 'groups.txt', [' '.join(names[k:k + 2]) for names in stems.values() for k in range(0, len(names), 2)])
    return root


def demo(root: Path) -> Path:
    """A few images of the real generator."""
    make_demo_dataset(root, train=6, val=2, test=2)
    return root


TREES: Mapping[str, Callable[[Path], Path]] = {'demo': demo, 'camvid': camvid, 'cityscapes': cityscapes, 'ade20k': ade20k,
                                               'magnetic_tile': magnetic_tile, 'ccp': ccp, 'pascal_context': pascal_context,
                                               'coco_stuff164k': coco_stuff164k}
