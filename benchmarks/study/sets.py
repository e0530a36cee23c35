"""The three datasets of the study: where they lie, how they are cut, and what counts as one unit."""
from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA_VARIABLE = 'MMIMB_STUDY_DATA'
CAMVID_BLOCK = 20  # frames, one second apart, of one unit of CamVid's intervals
SIZES = ('half', 'full')


@dataclass(frozen=True)
class StudySet:
    """One dataset.

    Args:
        name: Folder below the data root.
        type: Its dataset class.
        splits: ``fit``, ``dev`` and ``test`` as the list and the folder infix of each.
        ratio: Range of the random resize of the training views.
        crop: ``(height, width)`` of the training views at full size.
        views: Training views of each image.
        prepare: Transforms of every image, in training and evaluation.
        colour: Whether training views are distorted in colour.
        flip: Arguments of ``RandomFlip``.
        schedule: What differs from the defaults of :class:`frozen.Schedule`.
        halves: Whether ``--size half`` halves the crop.
    """

    name: str
    type: str
    splits: dict[str, tuple[str, str]]
    ratio: tuple[float, float]
    crop: tuple[int, int]
    views: int
    halves: bool
    prepare: tuple[dict[str, Any], ...] = ()
    colour: bool = True
    flip: dict[str, Any] = field(default_factory=lambda: {'prob': 0.5})
    schedule: dict[str, Any] = field(default_factory=dict)

    def shape(self, size: str) -> tuple[int, int]:
        """Return the ``(height, width)`` of the training views at ``size``."""
        return self.crop if size == 'full' or not self.halves else (self.crop[0] // 2, self.crop[1] // 2)

    def config(self, split: str, pipeline: list[dict[str, Any]], root: Path) -> dict[str, Any]:
        """Return the mmseg dataset config of a split."""
        listed, folder = self.splits[split]
        return {'type': self.type, 'data_root': str(root / self.name), 'ann_file': listed, 'pipeline': pipeline,
                'data_prefix': {'img_path': f'images{folder}', 'seg_map_path': f'annotations{folder}'}}

    def units(self, stems: list[str], root: Path) -> list[str]:
        """Return the unit of each image: what an interval or a cross-validation must not divide."""
        if self.name == 'camvid':
            return _blocks(stems)
        path = root / self.name / 'groups.txt'
        if not path.is_file():
            return stems
        owner = {stem: str(k) for k, line in enumerate(path.read_text(encoding='utf-8').splitlines()) for stem in line.split()}
        return [owner[stem] for stem in stems]


def _blocks(stems: list[str]) -> list[str]:
    """CamVid: the sequence, in blocks of consecutive frames."""
    seen: dict[str, int] = {}
    units = []
    for stem in stems:
        sequence = stem.split('_')[0]
        units.append(f'{sequence}-{seen.get(sequence, 0) // CAMVID_BLOCK}')
        seen[sequence] = seen.get(sequence, 0) + 1
    return units


# Exposures go from very dark to nearly white, which is no class cue (README of the dataset).
EQUALISE = {'type': 'CLAHE', 'clip_limit': 4.0, 'tile_grid_size': (4, 4)}
# A tile has no upper side.
ALL_WAYS = {'prob': [0.25, 0.25, 0.25], 'direction': ['horizontal', 'vertical', 'diagonal']}
FLAT = {'fit': ('train.txt', ''), 'dev': ('val.txt', ''), 'test': ('test.txt', '')}
SETS = {
    'camvid': StudySet('camvid', 'mmimb.CamVidDataset',
                       {'fit': ('fit.txt', '/train'), 'dev': ('dev.txt', '/train'), 'test': ('test.txt', '/test')},
                       ratio=(0.75, 1.5), crop=(384, 512), views=8, halves=True,
                       schedule={'iterations': 1600}),
    'magnetic_tile': StudySet('magnetic_tile', 'mmimb.MagneticTileDataset', FLAT, ratio=(0.8, 1.25), crop=(192, 192), views=8,
                              halves=False, prepare=(EQUALISE, ), colour=False, flip=ALL_WAYS,
                              schedule={'iterations': 2000}),
    'ccp': StudySet('ccp', 'mmimb.CCPDataset', FLAT, ratio=(0.8, 1.25), crop=(256, 192), views=4, halves=False,
                    schedule={'iterations': 1600}),
}


def data_root(given: str | None = None) -> Path:
    """Return the folder of the datasets: given, or from the environment.

    Raises:
        ValueError: Neither is there.
    """
    root = given or os.environ.get(DATA_VARIABLE)
    if not root:
        raise ValueError(f'`--data` must name the folder with {", ".join(SETS)} (or set {DATA_VARIABLE}), got nothing')
    return Path(root)


def tail_classes(name: str) -> list[str]:
    """Return the tail of a dataset, fixed before any training."""
    tails: dict[str, list[str]] = json.loads((HERE / 'tail.json').read_text(encoding='utf-8'))['tail']
    return tails[name]
