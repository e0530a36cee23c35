"""The demo dataset: real files, long-tailed, the same every time, and no danger to other folders."""
from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from mmimb.datasets.demo import DEMO_CLASSES, DEMO_PALETTE, make_demo_dataset
from mmimb.datasets.demo_scene import draw_scene
from mmimb.scan import build_split, scan_dataset


@pytest.fixture(scope='session')
def demo(tmp_path_factory):
    """The dataset as the quickstart makes it."""
    folder = tmp_path_factory.mktemp('demo') / 'demo'
    assert make_demo_dataset(folder)
    return folder


def files(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def scan(folder, split='train'):
    prefix = dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}')
    dataset = dict(type='mmimb.DemoDataset', data_root=str(folder), data_prefix=prefix, pipeline=[dict(type='LoadAnnotations')])
    return scan_dataset(build_split(dict(train_dataloader=dict(dataset=dataset))), 2).stats


def test_layout_and_size(demo) -> None:
    for split, number in (('train', 240), ('val', 80), ('test', 80)):
        images = sorted(p.stem for p in (demo / 'images' / split).glob('*.jpg'))
        assert len(images) == number
        assert images == sorted(p.stem for p in (demo / 'annotations' / split).glob('*.png'))
    assert (demo / 'classes.txt').read_text().split() == list(DEMO_CLASSES)
    assert len(DEMO_PALETTE) == len(DEMO_CLASSES) == 8
    assert sum(map(len, files(demo).values())) < 8e6
    image = Image.open(demo / 'images/train/train_0000.jpg')
    label = Image.open(demo / 'annotations/train/train_0000.png')
    assert (image.size, image.mode, label.size, label.mode) == ((160, 128), 'RGB', (160, 128), 'L')


def test_long_tail_in_all_splits(demo) -> None:
    train, val, test = (scan(demo, split) for split in ('train', 'val', 'test'))
    assert 90 < max(train.pixels) / min(train.pixels) < 150
    assert set(train.groups()['tail']) <= {5, 6, 7}
    assert min(*val.images, *test.images) >= 10
    assert min(train.images) >= 20
    for stats in (train, val, test):
        assert .01 < stats.ignored_pixels / (stats.ignored_pixels + sum(stats.pixels)) < .08


def test_void_border_around_things(demo) -> None:
    """What touches a thing is void, but for crumbs."""
    for file in sorted((demo / 'annotations/train').iterdir())[:20]:
        label = np.array(Image.open(file))
        things = (label >= 4) & (label < 8)
        grown = np.logical_or.reduce([np.roll(np.pad(things, 1), (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        around = grown[1:-1, 1:-1] & ~things
        assert not around.any() or (label[around] == 255).mean() > .97


def test_same_arguments_same_scenes_and_no_other(tmp_path) -> None:
    make_demo_dataset(tmp_path / 'a', 3, 2, 1)
    make_demo_dataset(tmp_path / 'b', 3, 2, 1)
    assert files(tmp_path / 'a') == files(tmp_path / 'b')
    make_demo_dataset(tmp_path / 'c', 4, 1, 1)  # a scene depends on its number, not on how many there are
    shared = [f'images/train/train_000{i}.jpg' for i in range(3)]
    assert all(files(tmp_path / 'a')[name] == files(tmp_path / 'c')[name] for name in shared)
    assert len({files(tmp_path / 'a')[name] for name in shared}) == 3
    assert any((x != y).any() for x, y in zip(draw_scene(np.random.default_rng([1, 0, 0])),
                                              draw_scene(np.random.default_rng([0, 0, 0])), strict=True))


def test_second_run_does_nothing_unless_damaged(tmp_path) -> None:
    out = tmp_path / 'demo'
    assert make_demo_dataset(out, 2, 1, 1)
    before = files(out)
    times = {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    assert not make_demo_dataset(out, 2, 1, 1)
    assert times == {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    (out / 'annotations/train/train_0001.png').write_bytes(b'')
    assert make_demo_dataset(out, 2, 1, 1)
    assert files(out) == before
    assert make_demo_dataset(out, 1, 1, 1, seed=3)
    assert len(files(out)) == 6 + 2
    assert [p.name for p in tmp_path.iterdir()] == ['demo']


def test_other_folders_are_refused(tmp_path) -> None:
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/photo.jpg').write_bytes(b'x')
    with pytest.raises(FileExistsError, match='`out` must be a new folder or one written by make_demo_dataset'):
        make_demo_dataset(tmp_path / 'mine', 1, 1, 1)
    (tmp_path / 'file').touch()
    with pytest.raises(FileExistsError, match='`out` must be'):
        make_demo_dataset(tmp_path / 'file', 1, 1, 1)
    assert (tmp_path / 'mine/photo.jpg').read_bytes() == b'x'


def test_replacing_removes_old_reports_and_nothing_else(tmp_path) -> None:
    out = tmp_path / 'demo'
    make_demo_dataset(out, 1, 1, 1)
    (out / 'stats.json').write_text('{}')
    assert not make_demo_dataset(out, 1, 1, 1)
    assert (out / 'stats.json').exists()
    (out / 'notes.txt').touch()
    with pytest.raises(FileExistsError, match=r"with 'notes\.txt'"):
        make_demo_dataset(out, 1, 1, 1, seed=1)
    (out / 'notes.txt').unlink()
    assert make_demo_dataset(out, 1, 1, 1, seed=1)
    assert not (out / 'stats.json').exists()


def test_interrupted_runs_leave_nothing(tmp_path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo_dataset(tmp_path / 'demo', 2, 1, 1, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('arguments', [dict(train=0), dict(val=-1), dict(test=0), dict(seed=-1), dict(train=2.0),
                                       dict(val=True)])
def test_wrong_numbers(tmp_path, arguments) -> None:
    name, = arguments
    with pytest.raises(ValueError, match=f'`{name}` must be an integer of at least'):
        make_demo_dataset(tmp_path / 'demo', **{'train': 1, 'val': 1, 'test': 1, **arguments})


def test_tool(tmp_path) -> None:
    command = [sys.executable, 'tools/make_demo_dataset.py', tmp_path / 'demo', '--train', '2', '--val', '1', '--test', '1']
    for status, options, words in ((0, [], 'wrote 2 training, 1 validation and 1 test images'), (0, [], 'is there already'),
                                   (2, ['--seed', '-1'], 'error: `seed` must be')):
        result = subprocess.run([*command, *options], cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)},
                                capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        assert words in result.stdout + result.stderr
        assert 'Traceback' not in result.stderr
