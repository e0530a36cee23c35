"""The demo dataset: generated street scenes with a long tail, written as real image and label files."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from mmseg.datasets import BaseSegDataset
from PIL import Image

from ..registry import DATASETS
from .demo_scene import draw_scene

VERSION = 1  # of the scenes: raise it with every change of what is drawn
MARKER = 'demo.json'
SPLITS = ('train', 'val', 'test')  # in this order: a scene depends on the number of its split
OWN = ('images', 'annotations', 'classes.txt', MARKER)
DEMO_CLASSES = ('road', 'building', 'sky', 'vegetation', 'car', 'person', 'sign', 'bicycle')
DEMO_PALETTE = [[128, 64, 128], [110, 110, 110], [70, 130, 180], [107, 142, 35], [0, 0, 180], [220, 20, 60], [250, 200, 0],
                [160, 50, 200]]


@DATASETS.register_module()
class DemoDataset(BaseSegDataset):
    """What ``mmimb demo`` writes: ``images/{train,val,test}/*.jpg`` and ``annotations/…/*.png``."""

    METAINFO: ClassVar[dict] = {'classes': DEMO_CLASSES, 'palette': DEMO_PALETTE}


def make_demo_dataset(out: str | Path, train: int = 240, val: int = 80, test: int = 80, *, seed: int = 0,
                      progress: Callable[[int, int], None] | None = None) -> bool:
    """Write the dataset below ``out``; the same arguments give the same scenes.

    The folder appears whole or not at all. One that this function wrote is replaced if it was made with other arguments or
    was damaged, together with reports of the scanner in it, which are then out of date.

    Args:
        out: The folder.
        train: Number of training images.
        val: Number of validation images, for choices such as decision offsets.
        test: Number of test images, for the comparison at the end.
        seed: Another seed draws other scenes.
        progress: Called after each image with the number done and the number of all.

    Returns:
        Whether anything was written: False if all is there already.

    Raises:
        ValueError: A number is out of range.
        FileExistsError: ``out`` holds something else, or something besides.
    """
    for name, value, least in (('train', train, 1), ('val', val, 1), ('test', test, 1), ('seed', seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f'`{name}` must be an integer of at least {least}, got {value!r}')
    out = Path(out).absolute()
    made = {'version': VERSION, 'train': train, 'val': val, 'test': test, 'seed': seed}
    _check_own(out)
    if _marker(out) == {**made, 'digest': _digest(out)}:
        return False
    _check_only_own(out)
    part = out.with_name(f'.{out.name}.partial')
    shutil.rmtree(part, ignore_errors=True)
    try:
        _write(part, made, progress)
        shutil.rmtree(out, ignore_errors=True)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _write(folder: Path, made: dict[str, int], progress: Callable[[int, int], None] | None) -> None:
    done, total = 0, sum(made[split] for split in SPLITS)
    for number, split in enumerate(SPLITS):
        for kind in ('images', 'annotations'):
            (folder / kind / split).mkdir(parents=True)
        for index in range(made[split]):
            image, label = draw_scene(np.random.default_rng([made['seed'], number, index]))
            Image.fromarray(image).save(folder / 'images' / split / f'{split}_{index:04d}.jpg', quality=92)
            Image.fromarray(label).save(folder / 'annotations' / split / f'{split}_{index:04d}.png', optimize=True)
            done += 1
            if progress is not None:
                progress(done, total)
    (folder / 'classes.txt').write_text('\n'.join(DEMO_CLASSES) + '\n', encoding='utf-8')
    text = json.dumps({**made, 'digest': _digest(folder)}, indent=1) + '\n'
    (folder / MARKER).write_text(text, encoding='utf-8')


def _check_own(out: Path) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or (any(out.iterdir()) and not _marker(out)):
        raise FileExistsError(f'`out` must be a new folder or one written by make_demo_dataset, got {str(out)!r}, '
                              f'which exists without {MARKER}')


def _check_only_own(out: Path) -> None:
    other = [p.name for p in out.iterdir() if p.name not in OWN and p.suffix not in ('.json', '.npz')] if out.exists() else []
    if other:
        raise FileExistsError(f'`out` must hold nothing but the demo dataset to be replaced, '
                              f'got {str(out)!r} with {other[0]!r}')


def _marker(out: Path) -> dict[str, object]:
    try:
        data = json.loads((out / MARKER).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) and 'digest' in data else {}


def _digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of the images and labels."""
    digest = hashlib.sha256()
    for kind in ('images', 'annotations'):
        for here, folders, names in os.walk(folder / kind):
            folders.sort()
            for name in sorted(names):
                path = Path(here, name)
                digest.update(path.relative_to(folder).as_posix().encode() + b'\0' + path.read_bytes())
    return digest.hexdigest()
