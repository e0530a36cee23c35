"""The converters of magnetic tiles and Clothing Co-Parsing, and the division into splits that both share."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy.io import savemat

from mmimb.datasets import CCPDataset, MagneticTileDataset
from mmimb.datasets.ccp_convert import convert_ccp
from mmimb.datasets.group_split import group_split, read_lists
from mmimb.datasets.magnetic_tile_convert import FOLDERS, convert_magnetic_tile


@pytest.fixture
def tiles(tmp_path) -> Path:
    """A folder like Magnetic-tile-defect-datasets.: 8 frames of a folder, two tiles each; masks with soft edges."""
    root = tmp_path / 'tiles'
    for k, name in enumerate(FOLDERS):
        (root / name / 'Imgs').mkdir(parents=True)
        for frame in range(8):
            stem = f'exp{frame % 6 + 1}_num_{10_000 * k + 100 * frame + (3000 if frame > 3 else 0)}'
            Image.new('L', (9, 6), 90 + frame).save(root / name / 'Imgs' / f'{stem}.jpg')
            mask = np.zeros((6, 9), np.uint8)
            mask[2, 3:6] = 0 if k == 0 else (40, 200, 255)
            Image.fromarray(mask).save(root / name / 'Imgs' / f'{stem}.png')
    return root


@pytest.fixture
def clothes(tmp_path) -> Path:
    """A folder like clothing-co-parsing: 12 photos of 11 x 8 pixels."""
    root = tmp_path / 'clothes'
    (root / 'photos').mkdir(parents=True)
    (root / 'annotations/pixel-level').mkdir(parents=True)
    names = np.array([list(CCPDataset.METAINFO['classes'])], dtype=object)
    savemat(root / 'label_list.mat', {'label_list': names})
    for k in range(12):
        label = np.full((11, 8), k % 3, np.uint8)
        label[4:6, 4:6] = 40 + k % 4
        savemat(root / f'annotations/pixel-level/{k:04d}.mat', {'groundtruth': label})
        cv2.imwrite(str(root / f'photos/{k:04d}.jpg'), np.full((11, 8, 3), 20 * k, np.uint8))
    return root


def test_tiles(tiles, tmp_path) -> None:
    out = tmp_path / 'out'
    counts = convert_magnetic_tile(tiles, out)
    assert sum(counts.values()) == 48
    assert (out / 'classes.txt').read_text().split() == list(MagneticTileDataset.METAINFO['classes'])
    lists = {split: (out / f'{split}.txt').read_text().split() for split in ('train', 'val', 'test')}
    assert {k: len(v) for k, v in lists.items()} == counts
    groups = [line.split() for line in (out / 'groups.txt').read_text().splitlines()]
    assert sorted(map(len, groups)) == [4] * 12
    owner = {stem: split for split, stems in lists.items() for stem in stems}
    assert all(len({owner[stem] for stem in group}) == 1 for group in groups)
    label = np.array(Image.open(out / 'annotations/exp1_num_20000.png'))
    assert label[2].tolist() == [0, 0, 0, 0, 2, 2, 0, 0, 0]  # above half only, with the class of the folder
    source = tiles / 'MT_Break/Imgs/exp1_num_20000.jpg'
    assert (out / 'images/exp1_num_20000.jpg').read_bytes() == source.read_bytes()
    classes = {stem: set(np.unique(np.array(Image.open(out / f'annotations/{stem}.png')))) - {0} for stem in owner}
    for split in lists:  # two tiles of each class: one of them in train
        assert set().union(*(classes[s] for s in lists['train'])) == {1, 2, 3, 4, 5}, split


def test_published_lists_are_kept(tiles, tmp_path) -> None:
    convert_magnetic_tile(tiles, tmp_path / 'a', seed=3)
    counts = convert_magnetic_tile(tiles, tmp_path / 'b', lists=tmp_path / 'a')
    for name in ('train', 'val', 'test', 'groups'):
        assert (tmp_path / f'a/{name}.txt').read_text() == (tmp_path / f'b/{name}.txt').read_text()
    assert sum(counts.values()) == 48


@pytest.mark.parametrize(('damage', 'rule'), [
    (lambda r: [p.unlink() for p in (r / 'MT_Fray/Imgs').glob('*.jpg')], 'without MT_Fray/Imgs'),
    (lambda r: (r / 'MT_Fray/Imgs/exp1_num_40000.png').unlink(), 'must be the mask of exp1_num_40000.jpg'),
    (lambda r: Image.new('L', (3, 3)).save(r / 'MT_Fray/Imgs/exp1_num_40000.png'), r'must have the size \(9, 6\)'),
    (lambda r: (r / 'MT_Fray/Imgs/exp1_num_40000.png').write_bytes(b'no'), 'must be readable images'),
    (lambda r: (r / 'MT_Fray/Imgs/exp1_num_40000.jpg').rename(r / 'MT_Fray/Imgs/exp1_num_0.jpg'), 'must be unique'),
])
def test_tiles_refuses_damaged_sources(tiles, tmp_path, damage, rule) -> None:
    damage(tiles)
    with pytest.raises((ValueError, FileNotFoundError), match=rule):
        convert_magnetic_tile(tiles, tmp_path / 'out')
    assert [p.name for p in tmp_path.iterdir()] == ['tiles']


def test_clothes(clothes, tmp_path) -> None:
    out = tmp_path / 'out'
    counts = convert_ccp(clothes, out)
    assert sum(counts.values()) == 12
    label = np.array(Image.open(out / 'annotations/0005.png'))
    assert label.shape == (5, 4)  # the odd last row is dropped, then every second pixel of every second row
    assert label.tolist() == [[2, 2, 2, 2], [2, 2, 2, 2], [2, 2, 41, 2], [2, 2, 2, 2], [2, 2, 2, 2]]
    image = cv2.imread(str(out / 'images/0005.jpg'))
    assert image.shape == (5, 4, 3)
    assert abs(image.astype(int) - 100).max() <= 2
    assert (out / 'classes.txt').read_text().split() == list(CCPDataset.METAINFO['classes'])


@pytest.mark.parametrize(('damage', 'rule'), [
    (lambda r: (r / 'label_list.mat').unlink(), 'label_list.mat, got'),
    (lambda r: savemat(r / 'label_list.mat', {'label_list': np.array([['null', 'cat']], dtype=object)}), 'must list the 59'),
    (lambda r: (r / 'photos/0003.jpg').unlink(), 'must be the photo of 0003.mat'),
    (lambda r: savemat(r / 'annotations/pixel-level/0003.mat', {'other': 1}), 'with `groundtruth`'),
    (lambda r: savemat(r / 'annotations/pixel-level/0003.mat', {'groundtruth': np.zeros((2, 2), np.uint8)}), 'have the size'),
    (lambda r: savemat(r / 'annotations/pixel-level/0003.mat', {'groundtruth': np.full((11, 8), 59, np.uint8)}), 'below 59'),
])
def test_clothes_refuses_damaged_sources(clothes, tmp_path, damage, rule) -> None:
    damage(clothes)
    with pytest.raises((ValueError, FileNotFoundError), match=rule):
        convert_ccp(clothes, tmp_path / 'out')
    assert [p.name for p in tmp_path.iterdir()] == ['clothes']


def test_pairs_of_one_moment_stay_together(tmp_path) -> None:
    from mmimb.datasets.ccp_convert import SAME_PHOTO, _groups

    stems = [f'{k:04d}' for k in range(1000)]
    groups = _groups(stems)
    assert sorted(s for g in groups for s in g) == stems
    assert [g for g in groups if len(g) == 2] == [sorted(pair) for pair in SAME_PHOTO]


def test_split_gives_each_class_its_share() -> None:
    rng = np.random.default_rng(0)
    groups = [[f'{k}-{i}' for i in range(rng.integers(1, 5))] for k in range(120)]
    classes = {stem: [1] * (k % 3 == 0) + [2] * (k % 20 == 0) for k, group in enumerate(groups) for stem in group}
    lists = group_split(groups, classes, seed=1)
    assert sorted(s for stems in lists.values() for s in stems) == sorted(classes)
    for c in (1, 2):
        total = sum(c in v for v in classes.values())
        share = [sum(c in classes[s] for s in lists[split]) / total for split in ('train', 'val', 'test')]
        assert share == pytest.approx([0.6, 0.15, 0.25], abs=3 / total)
    assert group_split(groups, classes, seed=1) == lists
    assert group_split(groups, classes, seed=2) != lists


def test_lists_are_checked(tmp_path) -> None:
    for split, text in (('train', 'a b'), ('val', 'c'), ('test', 'a')):
        (tmp_path / f'{split}.txt').write_text(text)
    with pytest.raises(ValueError, match='each file once'):
        read_lists(tmp_path, ['a', 'b', 'c'])
    with pytest.raises(ValueError, match="got 'c'"):
        read_lists(tmp_path, ['a', 'b'])
    (tmp_path / 'val.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'with val\.txt'):
        read_lists(tmp_path, ['a'])


@pytest.mark.parametrize(('tool', 'source', 'total'), [('magnetic_tile', 'tiles', 48), ('ccp', 'clothes', 12)])
def test_tools(tool, source, total, request, tmp_path) -> None:
    command = [sys.executable, f'tools/dataset_converters/{tool}.py', request.getfixturevalue(source), tmp_path / 'new']
    for status, words in ((0, f'wrote {tmp_path}/new: train'), (2, 'error: `out` must be a new folder')):
        result = subprocess.run(command, cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True,
                                check=False)
        assert result.returncode == status, result.stderr
        assert words in result.stdout + result.stderr
        assert 'Traceback' not in result.stderr
    lines = sum(len((tmp_path / f'new/{split}.txt').read_text().split()) for split in ('train', 'val', 'test'))
    assert lines == total
