"""tools/scan_dataset.py as a user calls it: a config, the exit status, the lines, the files."""
from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from mmimb.stats import ClassStats

CONFIG = '''
train_dataloader = dict(dataset=dict(
    type='BaseSegDataset', data_root='set', metainfo=dict(classes=('a', 'b', 'c')),
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
'''


@pytest.fixture
def work(tmp_path):
    """A folder with ``config.py`` and a dataset of three good images in ``set``."""
    for kind in ('images', 'annotations'):
        (tmp_path / 'set' / kind / 'train').mkdir(parents=True)
    for i, name in enumerate('xyz'):
        label = np.roll(np.array([[0, 1, 255, 2]] * 3, np.uint8), i, 1)
        Image.fromarray(label).save(tmp_path / f'set/annotations/train/{name}.png')
        Image.new('RGB', (4, 3), (90 * i, 0, 0)).save(tmp_path / f'set/images/train/{name}.jpg')
    (tmp_path / 'config.py').write_text(CONFIG)
    return tmp_path


def scan(work, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))}
    environment.pop('MMIMB_TRACEBACK', None)
    return subprocess.run([sys.executable, ROOT / 'tools/scan_dataset.py', 'config.py', '--workers', '0', *arguments], cwd=work,
                          env=environment, capture_output=True, text=True, check=False)


def errors(result, status: int, work) -> list[str]:
    """Check exit status, no traceback, nothing written; return the error lines."""
    assert result.returncode == status, result.stderr
    assert 'Traceback' not in result.stderr
    assert sorted(p.name for p in work.iterdir()) == ['config.py', 'set']
    lines = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert lines
    return lines


def test_report_and_table(work) -> None:
    result = scan(work, '--workers', '2')
    assert result.returncode == 0, result.stderr
    assert ClassStats.load(work / 'config.stats.json').pixels == (9, 9, 9)
    assert json.loads((work / 'config.stats.json').read_text())['per_image'] == 'config.stats.npz'
    assert sorted(p.name for p in work.iterdir()) == ['config.py', 'config.stats.json', 'config.stats.npz', 'set']
    for words in ('share %', 'group', 'imbalance ratio: 1.0 : 1', 'ignored: 25.00 %', 'wrote config.stats.json'):
        assert words in result.stdout
    assert [line for line in result.stderr.splitlines() if ' of 3 images' not in line] == []  # said after 30 s


def test_options(work) -> None:
    with (work / 'config.py').open('a') as file:
        file.write('\nval_dataloader = train_dataloader\n')
    (work / 'set/two.txt').write_text('x\ny\n')
    (work / 'set/one.txt').write_text('z\n')
    result = scan(work, '--split', 'val', '--out', 'deep/er/s.json', '--cfg-options', 'val_dataloader.dataset.ann_file=two.txt',
                  'train_dataloader.dataset.ann_file=one.txt')
    assert result.returncode == 0, result.stderr
    stats = ClassStats.load(work / 'deep/er/s.json')
    assert (stats.num_images, stats.provenance['split']) == (2, 'val')


def test_every_bad_file_is_named(work) -> None:
    labels = work / 'set/annotations/train'
    for i, name in enumerate(('empty', 'missing', 'rgb', 'high')):
        Image.new('RGB', (64, 64), (0, 9 * i, 0)).save(work / f'set/images/train/{name}.jpg')
    (labels / 'empty.png').write_bytes(b'')
    Image.new('RGB', (64, 64)).save(labels / 'rgb.png')
    good = np.zeros((64, 64), np.uint8)
    good[0, :5], good[1, 0] = 3, 200
    Image.fromarray(good).save(labels / 'high.png')
    result = scan(work, '--workers', '2')
    assert result.returncode == 3, result.stderr
    assert result.stderr.splitlines() == [
        'error: missing_label: annotations/train/missing.png: there is nothing at this path',
        'error: unreadable_label: annotations/train/empty.png: is no image: 0 bytes',
        'error: not_one_channel: annotations/train/rgb.png: loads as an array (64, 64, 3) of uint8; its channels are equal: '
        'write one of them',
        'error: outside_classes: annotations/train/high.png: holds 3 (5 pixels), 200 (1 pixels), which are neither below 3 '
        '(the number of classes) nor 255 (ignored)',
        '4 findings']
    report = json.loads((work / 'config.stats.json').read_text())
    assert (report['num_images'], report['provenance']['num_images']) == (4, 7)
    assert [*report['audit']] == ['missing_label', 'unreadable_label', 'not_one_channel', 'outside_classes']
    assert 'wrote config.stats.json' in result.stdout
    assert sorted(p.name for p in work.iterdir()) == ['config.py', 'config.stats.json', 'config.stats.npz', 'set']
    strict = scan(work, '--strict', '--out', 'strict.json')
    assert strict.returncode == 3
    first = 'error: unreadable_label: annotations/train/empty.png: is no image: 0 bytes'
    assert strict.stderr.splitlines() == [
        first, f'error: labels must be without findings under `strict`, got {first}; nothing was written']
    assert not list(work.glob('strict*'))


def test_training_tells_of_labels_that_the_statistics_leave_out(work) -> None:
    (work / 'set/annotations/train/y.png').unlink()
    assert scan(work, '--out', 'old.json').returncode == 3
    with pytest.warns(UserWarning, match=r'old.json. was counted with 1 errors in the label files \(missing_label\)'):
        ClassStats.load(work / 'old.json')


def test_validation_is_searched_for_training_files(work) -> None:
    with (work / 'config.py').open('a') as file:
        file.write('\nval_dataloader = train_dataloader\n')
    result = scan(work)
    assert result.returncode == 3
    assert result.stderr.splitlines()[0] == "error: in_both_splits: images/train/x.jpg: is 'images/train/x.jpg' of the val list"
    assert result.stderr.splitlines()[-1] == '3 findings'


def test_wrong_layout_shows_the_tree(work) -> None:
    (work / 'set/annotations/train').rename(work / 'set/annotations/training')
    result = scan(work, '--cfg-options', 'train_dataloader.dataset.ann_file=train.txt')
    line, = errors(result, 2, work)
    assert line == ('error: `train_dataloader.dataset` must find the files of BaseSegDataset at its `data_root`, got missing: '
                    'set/train.txt, missing folder: set/annotations/train')
    tree = [' '.join(row.split()) for row in result.stderr.splitlines() if row.startswith(('set/', '├', '└'))]
    assert tree == ['set/ found (data_root)', '├── train.txt MISSING (ann_file)',
                    '├── images/train/*.jpg found (data_prefix.img_path)',
                    '└── annotations/train/*.png MISSING (data_prefix.seg_map_path)']


def options(**entries: str) -> list[str]:
    return ['--cfg-options', *(f'train_dataloader.dataset.{key}={value}' for key, value in entries.items())]


@pytest.mark.parametrize(('arguments', 'rule'), [
    (options(data_root='nowhere'), 'got missing folder: nowhere/images/train, missing folder: nowhere/annotations/train'),
    (options(img_suffix='.bmp'), 'got no such file: set/images/train/*.bmp'),
    (options(seg_map_suffix='_labels.png'), 'got no file of any image (such as '),
    (options(ann_file='none.txt'), '`train_dataloader.dataset.ann_file` must list at least one image, got the empty file'),
    (options(type='NoSuchDataset'), 'NoSuchDataset'),
    (['--cfg-options', 'train_dataloader.dataset.pipeline.9.type=Foo'], '`--cfg-options` must fit the config, got '),
    (['--cfg-options', 'foo'], "`--cfg-options` must be key=value, got 'foo'"),
    (['--split', 'val'], '`val_dataloader.dataset` must be a dataset config, got None'),
    (['--out', 'config.py'], "`out` must end in .json, got 'config.py'"),
    (['--workers', '-1'], '`workers` must be an integer of at least 0, got -1'),
])
def test_bad_arguments_give_one_line(work, arguments, rule) -> None:
    (work / 'set/none.txt').write_text('\n')
    line, = errors(scan(work, *arguments), 2, work)
    assert rule in line


def test_no_labelled_pixel(work) -> None:
    for file in (work / 'set/annotations/train').iterdir():
        Image.new('L', (4, 3), 255).save(file)
    *_, line = errors(scan(work), 3, work)
    assert line == ('error: `dataset` must have at least one labelled pixel, got 36 ignored ones in 3 images; '
                    'nothing was written')


def test_a_config_that_cannot_be_read(work) -> None:
    (work / 'config.py').write_text('train_dataloader = dict(')
    line, = errors(scan(work), 2, work)
    assert line.startswith("error: `config` must be a readable config, got 'config.py' (")
