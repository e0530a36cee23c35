"""From Magnetic-tile-defect-datasets to the layout that :class:`MagneticTileDataset` reads."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .group_split import group_split, read_lists, write_lists
from .magnetic_tile import MagneticTileDataset

FOLDERS = {'MT_Free': 0, 'MT_Blowhole': 1, 'MT_Break': 2, 'MT_Crack': 3, 'MT_Fray': 4, 'MT_Uneven': 5}
SAME_TILE = 500  # numbers of frames: a tile is a run of exposures with nearby ones
HALF = 127  # masks have soft edges


def convert_magnetic_tile(source: str | Path, out: str | Path, *, lists: str | Path | None = None, seed: int = 0,
                          progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Copy images byte for byte, write label maps, groups and lists; ``out`` appears whole or not at all.

    Args:
        source: The folder with ``MT_Blowhole/Imgs/*.jpg`` and ``*.png`` and so on.
        out: A folder that is not there yet.
        lists: A folder whose ``train.txt``, ``val.txt``, ``test.txt`` and ``groups.txt`` are kept. Without, groups are frames
            at most 500 numbers apart, and whole groups are divided at random.
        seed: Of that division.
        progress: Called after each image with the number done and the number of all.

    Returns:
        The number of images in each list.

    Raises:
        FileNotFoundError: Something is missing in ``source`` or ``lists``; it names what.
        FileExistsError: ``out`` is there already.
        ValueError: A mask is not of one channel or has another size than its image, or a list does not fit.
    """
    source, out = Path(source), Path(out).absolute()
    if out.exists():
        raise FileExistsError(f'`out` must be a new folder, got {str(out)!r}, which exists')
    images = _images(source)
    part = out.with_name(f'.{out.name}.partial')
    shutil.rmtree(part, ignore_errors=True)
    try:
        (part / 'images').mkdir(parents=True)
        (part / 'annotations').mkdir()
        classes = {}
        for done, (stem, (path, class_id)) in enumerate(sorted(images.items()), 1):
            label = _label(path, class_id)
            shutil.copyfile(path, part / 'images' / f'{stem}.jpg')
            Image.fromarray(label).save(part / 'annotations' / f'{stem}.png', optimize=True)
            classes[stem] = [class_id] if class_id and label.any() else []
            if progress is not None:
                progress(done, len(images))
        groups = _groups(list(images)) if lists is None else _read_groups(Path(lists))
        found = group_split(groups, classes, seed=seed) if lists is None else read_lists(lists, list(images))
        write_lists(part, {**found, 'groups': [' '.join(group) for group in groups]}, MagneticTileDataset.METAINFO['classes'])
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {name: len(stems) for name, stems in found.items()}


def _images(source: Path) -> dict[str, tuple[Path, int]]:
    """Return path and class of each image by its stem."""
    images: dict[str, tuple[Path, int]] = {}
    for name, class_id in FOLDERS.items():
        paths = sorted((source / name / 'Imgs').glob('*.jpg'))
        if not paths:
            raise FileNotFoundError(f'`source` must be the folder with {", ".join(FOLDERS)}, got {str(source)!r} without '
                                    f'{name}/Imgs/*.jpg')
        for path in paths:
            if path.stem in images:
                raise ValueError(f'{path}: file names must be unique, got the same in {images[path.stem][0].parent}')
            images[path.stem] = path, class_id
    return images


def _label(path: Path, class_id: int) -> np.ndarray:
    mask_path = path.with_suffix('.png')
    if not mask_path.is_file():
        raise FileNotFoundError(f'{mask_path}: must be the mask of {path.name}, got nothing at this path')
    try:
        mask, size = np.array(Image.open(mask_path).convert('L')), Image.open(path).size
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{mask_path} and {path}: must be readable images, got {type(error).__name__}') from error
    if mask.shape != size[::-1]:
        raise ValueError(f'{mask_path}: must have the size {size} of its image, got {mask.shape[::-1]}')
    return np.where(mask > HALF, class_id, 0).astype(np.uint8)


def _groups(stems: list[str]) -> list[list[str]]:
    """Return runs of frames: ``exp1_num_20362`` is frame 20362."""
    numbers = {}
    for stem in stems:
        tail = stem.rsplit('_', 1)[-1]
        if not tail.isdigit():
            raise ValueError(f'`source` must have file names like exp1_num_20362.jpg, got {stem!r}')
        numbers[stem] = int(tail)
    groups: list[list[str]] = []
    last = None
    for stem in sorted(stems, key=lambda s: (numbers[s], s)):
        if last is None or numbers[stem] - last > SAME_TILE:
            groups.append([])
        groups[-1].append(stem)
        last = numbers[stem]
    return groups


def _read_groups(folder: Path) -> list[list[str]]:
    path = folder / 'groups.txt'
    if not path.is_file():
        raise FileNotFoundError(f'`lists` must be a folder with groups.txt, got {str(folder)!r}')
    return [line.split() for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
