"""From the Clothing Co-Parsing folders to the layout that :class:`CCPDataset` reads."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .ccp import CCPDataset
from .group_split import group_split, read_lists, write_lists

SAME_PHOTO = (('0594', '0722'), ('0183', '0730'), ('0907', '0990'), ('0078', '0984'), ('0692', '0732'), ('0197', '0671'))


def convert_ccp(source: str | Path, out: str | Path, *, lists: str | Path | None = None, seed: int = 0, quality: int = 95,
                progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Write the photos with pixel labels at half size, their label maps and lists; ``out`` appears whole or not at all.

    Args:
        source: The folder with ``photos/*.jpg``, ``annotations/pixel-level/*.mat`` and ``label_list.mat``.
        out: A folder that is not there yet.
        lists: A folder whose ``train.txt``, ``val.txt`` and ``test.txt`` are kept. Without, photos are divided by the rarest
            classes first; the six pairs of the same moment stay together.
        seed: Of that division.
        quality: JPEG quality of the images.
        progress: Called after each image with the number done and the number of all.

    Returns:
        The number of images in each list.

    Raises:
        FileNotFoundError: Something is missing in ``source`` or ``lists``; it names what.
        FileExistsError: ``out`` is there already.
        ValueError: The classes are others, a label map does not fit its photo, or a list does not fit.
    """
    source, out = Path(source), Path(out).absolute()
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise ValueError(f'`quality` must be an integer from 1 to 100, got {quality!r}')
    if out.exists():
        raise FileExistsError(f'`out` must be a new folder, got {str(out)!r}, which exists')
    paths = _paths(source)
    part = out.with_name(f'.{out.name}.partial')
    shutil.rmtree(part, ignore_errors=True)
    try:
        (part / 'images').mkdir(parents=True)
        (part / 'annotations').mkdir()
        classes = {}
        for done, path in enumerate(paths, 1):
            label = _write(source, part, path, quality)
            classes[path.stem] = [int(c) for c in np.unique(label) if c]
            if progress is not None:
                progress(done, len(paths))
        stems = [path.stem for path in paths]
        found = group_split(_groups(stems), classes, seed=seed) if lists is None else read_lists(lists, stems)
        write_lists(part, found, CCPDataset.METAINFO['classes'])
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {name: len(stems) for name, stems in found.items()}


def _paths(source: Path) -> list[Path]:
    paths = sorted((source / 'annotations/pixel-level').glob('*.mat'))
    if not paths or not (source / 'label_list.mat').is_file():
        raise FileNotFoundError('`source` must be the clothing-co-parsing folder with annotations/pixel-level/*.mat and '
                                f'label_list.mat, got {str(source)!r} without them')
    names = tuple(str(np.ravel(name)[0]) for name in np.ravel(_read(source / 'label_list.mat', 'label_list')))
    if names != CCPDataset.METAINFO['classes']:
        raise ValueError(f"{source / 'label_list.mat'}: must list the 59 classes of Clothing Co-Parsing, got {names!r}")
    return paths


def _read(path: Path, key: str) -> Any:
    from scipy.io import loadmat  # of the readers, the only one of .mat files

    try:
        return loadmat(path)[key]
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise ValueError(f'{path}: must be a readable .mat file with `{key}`, got {type(error).__name__}') from error


def _write(source: Path, part: Path, path: Path, quality: int) -> np.ndarray:
    """Write photo and label map of half size: the mean of 2 x 2 pixels, and every second pixel of every second row."""
    photo = source / 'photos' / f'{path.stem}.jpg'
    if not photo.is_file():
        raise FileNotFoundError(f'{photo}: must be the photo of {path.name}, got nothing at this path')
    image, label = cv2.imread(str(photo)), _read(path, 'groundtruth')
    if image is None or label.ndim != 2 or label.shape != image.shape[:2]:
        raise ValueError(f'{path}: must have the size of {photo.name} {None if image is None else image.shape[:2]}, '
                         f'got {label.shape}')
    if label.max() >= len(CCPDataset.METAINFO['classes']):
        raise ValueError(f'{path}: must have labels below 59, got {label.max()}')
    height, width = (n // 2 * 2 for n in label.shape)
    half = cv2.resize(image[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    small = np.ascontiguousarray(label[:height:2, :width:2]).astype(np.uint8)
    cv2.imwrite(str(part / 'images' / f'{path.stem}.jpg'), half, [cv2.IMWRITE_JPEG_QUALITY, quality])
    cv2.imwrite(str(part / 'annotations' / f'{path.stem}.png'), small)
    return small


def _groups(stems: list[str]) -> list[list[str]]:
    pairs = [[stem for stem in stems if stem.split('_')[0] in pair] for pair in SAME_PHOTO]
    together = {stem for pair in pairs for stem in pair}
    return [pair for pair in pairs if pair] + [[stem] for stem in stems if stem not in together]
