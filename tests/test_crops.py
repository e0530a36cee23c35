"""Counts after the whole pipeline: what a batch holds, the same for any number of processes."""
from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from PIL import Image

from mmimb.commands.main import main
from mmimb.scan import build_split
from mmimb.scan.crops import count_crops
from mmimb.stats import ClassStats

CLASSES = ('sky', 'road', 'sign')
LOAD, PACK = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]
HEIGHT, WIDTH = 24, 32
CROP = [dict(type='RandomCrop', crop_size=(8, 8)), dict(type='RandomFlip', prob=0.5)]


@pytest.fixture
def folder(tmp_path):
    """Six images: sky above, road below, a sign of 4 x 4 pixels in two of them, two ignored rows."""
    for kind in ('images', 'annotations'):
        (tmp_path / kind / 'train').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[10 + i % 3:] = 1
        label[-2:] = 255
        if i in (1, 4):
            label[6:10, 20:24] = 2
        Image.fromarray(label).save(tmp_path / f'annotations/train/{i}.png')
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(tmp_path / f'images/train/{i}.jpg')
    return tmp_path


def leaf(folder, *transforms, **rest) -> dict:
    return {'type': 'BaseSegDataset', 'data_root': str(folder), 'metainfo': dict(classes=CLASSES),
            'data_prefix': dict(img_path='images/train', seg_map_path='annotations/train'),
            'pipeline': [*LOAD, *transforms, *PACK], **rest}


def build(dataset: dict):
    return build_split(Config(dict(train_dataloader=dict(dataset=dataset))))


def whole(folder, change=lambda label: label) -> tuple[np.ndarray, np.ndarray, int]:
    """Pixels, images and ignored pixels from the files."""
    labels = [change(np.array(Image.open(file)).astype(int)) for file in sorted((folder / 'annotations/train').iterdir())]
    pixels = np.array([[(label == c).sum() for c in range(3)] for label in labels])
    return pixels.sum(0), (pixels > 0).sum(0), sum(int((label == 255).sum()) for label in labels)


def test_a_pipeline_that_crops_nothing_gives_the_whole_images(folder) -> None:
    pixels, images, ignored = whole(folder)
    counts = count_crops(build(leaf(folder, dict(type='RandomFlip', prob=0.5))), 3)
    assert counts.pixels == tuple(3 * pixels)
    assert counts.images == tuple(3 * images)
    assert (counts.ignored_pixels, counts.num_crops, counts.problems) == (3 * ignored, 18, ())
    assert counts.to_dict() == dict(per_image=3, seed=0, pixels=list(counts.pixels), images=list(counts.images),
                                    ignored_pixels=3 * ignored, num_crops=18)


def test_label_settings_of_the_dataset_are_applied(folder) -> None:
    pixels, images, _ = whole(folder, lambda label: np.where(np.isin(label, (0, 255)), 255, label - 1))
    counts = count_crops(build(leaf(folder, reduce_zero_label=True)), 1)
    assert (counts.pixels, counts.images) == (tuple(pixels), tuple(images))
    kept = count_crops(build(leaf(folder)), 1, ignore_index=0)
    assert kept.pixels[0] == 0
    assert kept.ignored_pixels == whole(folder)[0][0]


def test_crops_resizing_and_padding_are_those_of_the_pipeline(folder) -> None:
    counts = count_crops(build(leaf(folder, *CROP)), 50)
    assert counts.num_crops == 300
    assert sum(counts.pixels) + counts.ignored_pixels == 300 * 64
    # each column of crop places: a sign pixel is in the crop with probability (places that cover it) / (all places)
    rows, columns = HEIGHT - 8 + 1, WIDTH - 8 + 1
    covered = sum(len({t for t in range(rows) if t <= y < t + 8}) * len({x0 for x0 in range(columns) if x0 <= x < x0 + 8})
                  for y in range(6, 10) for x in range(20, 24)) / (rows * columns)
    assert counts.pixels[2] == pytest.approx(2 * 50 * covered, rel=.35)
    doubled = count_crops(build(leaf(folder, dict(type='Resize', scale=(2 * WIDTH, 2 * HEIGHT)))), 1)
    assert doubled.pixels == tuple(4 * whole(folder)[0])
    padded = count_crops(build(leaf(folder, dict(type='Pad', size=(40, WIDTH), pad_val=dict(img=0, seg=255)))), 1)
    assert padded.pixels == tuple(whole(folder)[0])
    assert padded.ignored_pixels == whole(folder)[2] + 6 * (40 - HEIGHT) * WIDTH


def test_any_number_of_workers_gives_the_same_counts(folder) -> None:
    dataset = build(leaf(folder, *CROP, dict(type='PhotoMetricDistortion')))
    counts = [count_crops(dataset, 3, 5, workers=workers) for workers in (0, 1, 2)]
    assert counts[0] == counts[1] == counts[2]
    assert count_crops(dataset, 3, 6).pixels != counts[0].pixels


@pytest.mark.parametrize('draw', [lambda: random.random(), lambda: np.random.rand(), lambda: float(torch.rand(()))],  # noqa: NPY002
                         ids=['python', 'numpy', 'torch'])
def test_every_generator_follows_from_the_seed(folder, draw) -> None:
    dataset = build(leaf(folder))

    def cover(data: dict) -> dict:
        data['gt_seg_map'][:int(10000 * draw()) % 20] = 255
        return data

    dataset.pipeline.transforms.insert(2, cover)
    counts = count_crops(dataset, 3)
    assert count_crops(dataset, 3) == counts
    assert count_crops(dataset, 3, 1).pixels != counts.pixels


def test_crops_of_an_image_differ_and_the_first_ones_stay(folder) -> None:
    dataset = build(leaf(folder, *CROP))
    one, two, three = (np.array(count_crops(dataset, k).pixels) for k in (1, 2, 3))
    assert (two - one != one).any(), 'the second crop is not the first again'
    assert (two >= one).all()
    assert (three >= two).all()


def test_wrappers_count_what_they_draw(folder) -> None:
    plain = count_crops(build(leaf(folder)), 2)
    assert count_crops(build(dict(type='RepeatDataset', times=7, dataset=leaf(folder))), 2) == plain
    joined = count_crops(build(dict(type='ConcatDataset', datasets=[leaf(folder), leaf(folder)])), 2)
    assert joined.pixels == tuple(2 * p for p in plain.pixels)
    assert joined.num_crops == 2 * plain.num_crops
    from mmengine.dataset import ClassBalancedDataset
    dataset = build(leaf(folder))
    dataset.get_cat_ids = lambda index: [0, 2] if index in (1, 4) else [0]
    balanced = count_crops(ClassBalancedDataset(dataset, oversample_thr=0.9), 2)
    assert balanced.pixels[2] / sum(balanced.pixels) > 1.2 * plain.pixels[2] / sum(plain.pixels)


def test_images_that_cannot_be_read_are_named_and_left_out(folder) -> None:
    (folder / 'images/train/2.jpg').write_bytes(b'no image')
    counts = count_crops(build(leaf(folder)), 2, workers=1)
    assert counts.num_crops == 10
    problem, = counts.problems
    assert problem.startswith(str(folder / 'images/train/2.jpg') + ': ')
    for file in (folder / 'images/train').iterdir():
        file.write_bytes(b'')
    with pytest.raises(ValueError, match=r'must give labelled pixels, got none in 12 crops \('):
        count_crops(build(leaf(folder)), 2)


def test_a_pipeline_without_labels_is_refused(folder) -> None:
    bare = dict(leaf(folder), pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])
    with pytest.raises(ValueError, match=r'`pipeline` must end in PackSegInputs with labels, got none'):
        count_crops(build(bare), 1)
    open_end = dict(leaf(folder), pipeline=LOAD)
    assert count_crops(build(open_end), 1).pixels == tuple(whole(folder)[0])


@pytest.mark.parametrize(('arguments', 'rule'), [
    (dict(per_image=0), '`crops` must be at least 1'), (dict(per_image=1, seed=-1), '`seed` must be at least 0'),
    (dict(per_image=1, workers=-1), '`workers` must be at least 0')])
def test_wrong_arguments(folder, arguments, rule) -> None:
    with pytest.raises(ValueError, match=rule):
        count_crops(build(leaf(folder)), **arguments)


def test_random_state_of_the_caller_stays(folder) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    seen = []
    count_crops(build(leaf(folder, *CROP)), 1, progress=lambda done, total: seen.append((done, total)))
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected  # noqa: NPY002
    assert seen == [(i, 6) for i in range(1, 7)]


def test_a_killed_worker_is_told(folder) -> None:
    (folder / 'list.txt').write_text('0\n1\n')
    dataset = build(leaf(folder, ann_file='list.txt'))
    dataset.pipeline.transforms.insert(0, lambda data: os.kill(os.getpid(), 9))
    with pytest.raises(ChildProcessError, match='a worker process must stay alive'):
        count_crops(dataset, 1, workers=1)


def test_crops_around_rare_classes_hold_more_of_them(folder) -> None:
    stats = dict(pixels=whole(folder)[0].tolist())
    rare = leaf(folder, dict(type='mmimb.RareClassCrop', crop_size=(8, 8), stats=stats, min_pixels=8, temperature=0.05))
    plain, more = count_crops(build(leaf(folder, CROP[0])), 10), count_crops(build(rare), 10)
    assert more.pixels[2] > 2 * plain.pixels[2]
    assert count_crops(build(rare), 10, workers=2) == more


def test_the_tool_writes_them_into_the_report_and_the_page(folder) -> None:
    config = folder / 'config.py'
    config.write_text(f'train_dataloader = dict(dataset={leaf(folder, *CROP)!r})\n')
    command = [sys.executable, str(ROOT / 'tools/scan_dataset.py'), 'config.py', '--crops', '2', '--seed', '3',
               '--out', 'r.json', '--html', 'page.html', '--workers', '1']
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    data = json.loads((folder / 'r.json').read_text())
    expected = count_crops(build(leaf(folder, *CROP)), 2, 3)
    assert data['crops'] == expected.to_dict()
    assert ClassStats.load(folder / 'r.json').pixels == tuple(whole(folder)[0])
    assert 'what batches hold (12 crops, 2 of each image)' in result.stdout
    assert 'No config is suggested: ' in result.stdout, 'a config without a model'
    html = (folder / 'page.html').read_text()
    assert '<title>config, train: class statistics</title>' in html
    pictures = [part.count('data:image/jpeg') for part in html.partition('<section id="audit"')]
    assert pictures == [2, 0, 6], 'an example with its label, and two files of each of three findings'
    assert 'What batches really hold' in html
    assert 'page.html' in result.stdout.split('wrote ')[1]
    assert result.returncode == 3, 'duplicates in this folder'
    assert 'crops:' not in result.stderr


def test_the_tool_tells_what_the_pipeline_cannot_take(folder) -> None:
    jpeg = (folder / 'images/train/2.jpg').read_bytes()
    (folder / 'images/train/2.jpg').write_bytes(jpeg[:len(jpeg) // 2].replace(b'\xff\xda', b'\x00\x00'))
    (folder / 'config.py').write_text(f'train_dataloader = dict(dataset={leaf(folder, *CROP)!r})\n')
    command = [sys.executable, str(ROOT / 'tools/scan_dataset.py'), 'config.py', '--crops', '1', '--workers', '0']
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 3
    line, = (line for line in result.stderr.splitlines() if line.startswith('crops: '))
    assert 'images/train/2.jpg: ' in line
    assert json.loads((folder / 'config.stats.json').read_text())['crops']['num_crops'] == 5


@pytest.mark.parametrize(('arguments', 'rule'), [
    (['--crops', '0'], '`crops` must be at least 1, got 0'), (['--crops', '1', '--seed', '-1'], '`seed` must be at least 0'),
    (['--html', 'page.pdf'], '`--html` must be a path that ends with .html'),
    (['--crops', '1', '--shard', '0/2'], '`class-weight` and `write-config` must come with a scan of all images'),
    (['--html', 'x.html', '--shard', '0/2'], '`class-weight` and `write-config` must come with a scan of all images')])
def test_options_that_do_not_fit_are_told_before_the_scan(folder, arguments, rule, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(['scan', 'config.py', *arguments])
    assert ended.value.code == 2
    assert rule in capsys.readouterr().err
