"""The scanner counts what the trainer sees: against slow references from the files, and known counts of CamVid."""
from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from support.scanning import PIPELINE, build, dense, leaf

from mmimb.scan import BadLabelsError, fingerprint, scan_dataset
from mmimb.scan.build import heads_ignore_index
from mmimb.scan.report import check_report_path, write_report
from mmimb.stats import ClassStats, PerImageCounts

CAMVID_PIXELS = (10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967)
CAMVID_IMAGES = (366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201)
CAMVID_IGNORED = 2503995


@pytest.fixture
def folder(tmp_path):
    """Seven images of different sizes with labels 0..3 and 255; class 2 occurs in one of them."""
    rng = np.random.default_rng(0)
    for kind in ('images', 'annotations'):
        (tmp_path / 'set' / kind / 'train' / 'sub').mkdir(parents=True)
    for i in range(7):
        label = rng.choice([0, 1, 3, 255], (11 + i, 17), p=[.5, .3, .1, .1]).astype(np.uint8)
        label[:2, :3] = 2 if i == 4 else 0
        name = f'sub/{i}' if i % 2 else str(i)
        Image.fromarray(label).save(tmp_path / f'set/annotations/train/{name}.png')
        Image.new('RGB', label.shape[::-1]).save(tmp_path / f'set/images/train/{name}.jpg')
    return tmp_path / 'set'


def reference(root, change=lambda label: label, num_classes=4) -> np.ndarray:
    """Per-image counts ``(N, C + 1)``, the last column ignored pixels, from PIL and a loop over classes."""
    files = sorted((root / 'images/train').rglob('*.jpg'), key=str)
    rows = []
    for file in files:
        label = np.array(Image.open(root / 'annotations/train' / file.relative_to(root / 'images/train').with_suffix('.png')))
        label = change(label.astype(int))
        rows.append([(label == c).sum() for c in range(num_classes)] + [(label == 255).sum()])
    return np.array(rows)


def check(scan, rows: np.ndarray) -> None:
    counts = rows[:, :-1]
    assert scan.stats.pixels == tuple(counts.sum(0))
    assert scan.stats.images == tuple((counts > 0).sum(0))
    assert scan.stats.image_pixels == tuple((counts.sum(1, keepdims=True) * (counts > 0)).sum(0))
    assert scan.stats.ignored_pixels == rows[:, -1].sum()
    assert scan.stats.num_images == len(rows) == len(scan.per_image)
    np.testing.assert_array_equal(dense(scan.per_image, counts.shape[1]), counts)
    np.testing.assert_array_equal(scan.per_image.ignored, rows[:, -1])
    together = [[sum(1 for row in counts if row[a] and row[b]) for b in range(counts.shape[1])] for a in range(counts.shape[1])]
    np.testing.assert_array_equal(scan.cooccurrence, together)


@pytest.mark.parametrize('workers', [0, 2])
def test_counts_of_plain_labels(folder, workers) -> None:
    seen = []
    scan = scan_dataset(build(leaf(folder)), workers, 'train', progress=lambda done, total: seen.append((done, total)))
    check(scan, reference(folder))
    assert scan.audit == {}
    assert seen == [(i, 7) for i in range(1, 8)]
    assert scan.per_image.files[0] == 'annotations/train/0.png'


def test_reduce_zero_label_is_applied(folder) -> None:
    scan = scan_dataset(build(leaf(folder, reduce_zero_label=True)), 0)
    check(scan, reference(folder, lambda label: np.where(np.isin(label, (0, 255)), 255, label - 1)))
    assert scan.stats.pixels[3] == 0
    assert scan.stats.provenance['reduce_zero_label'] is True


def test_selected_classes_are_applied(folder) -> None:
    """An mmseg dataset whose ``metainfo`` reorders and drops classes maps its labels by ``label_map``."""
    cityscapes = dict(leaf(folder), type='CityscapesDataset', metainfo=dict(classes=('wall', 'road')), img_suffix='.jpg',
                      seg_map_suffix='.png')
    scan = scan_dataset(build(cityscapes), 0)
    check(scan, reference(folder, lambda label: np.select([label == 3, label == 0], [0, 1], 255), num_classes=2))
    assert scan.stats.classes == ('wall', 'road')
    assert scan.stats.provenance['label_map']['1'] == 255


@pytest.mark.parametrize('wrap', [
    lambda d: dict(type='RepeatDataset', dataset=d, times=5),
    lambda d: dict(type='ConcatDataset', datasets=[d, d]),
    lambda d: dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[d]), times=2),
    lambda d: dict(type='MultiImageMixDataset', dataset=dict(type='ConcatDataset', datasets=[d]), pipeline=[]),
], ids=['repeat', 'concat', 'nested', 'mix'])
def test_wrappers_count_each_image_once(folder, wrap) -> None:
    plain, wrapped = build(leaf(folder)), build(wrap(leaf(folder)))
    check(scan_dataset(wrapped, 0), reference(folder))
    assert fingerprint(wrapped) == fingerprint(plain)


def test_class_balanced_wrapper_counts_each_image_once(folder) -> None:
    from mmengine.dataset import ClassBalancedDataset
    dataset = build(leaf(folder))
    dataset.get_cat_ids = lambda index: [0] if index else [0, 1]
    wrapped = ClassBalancedDataset(dataset, oversample_thr=.9)
    assert len(wrapped) > len(dataset)
    check(scan_dataset(wrapped, 0), reference(folder))


def test_concat_adds_up_different_lists(folder) -> None:
    first, second = leaf(folder, ann_file='first.txt'), leaf(folder, ann_file='second.txt')
    (folder / 'first.txt').write_text('0\nsub/1\n2\n')
    (folder / 'second.txt').write_text('2\nsub/3\n')
    scan = scan_dataset(build(dict(type='ConcatDataset', datasets=[first, second])), 0)
    assert [f.removeprefix('annotations/train/') for f in scan.per_image.files] == ['0.png', 'sub/1.png', '2.png', 'sub/3.png']


def test_fingerprint_is_of_the_relative_list(folder, tmp_path) -> None:
    names = ['annotations/train/0.png', 'annotations/train/sub/3.png']
    (folder / 'list.txt').write_text('0\nsub/3\n')
    here = fingerprint(build(leaf(folder, ann_file='list.txt')))
    assert here == hashlib.sha256('\0'.join(names).encode()).hexdigest()
    moved = folder.rename(tmp_path / 'elsewhere')
    assert fingerprint(build(leaf(moved, ann_file='list.txt'))) == here
    assert fingerprint(build(leaf(f'{moved}/', ann_file='list.txt'))) == here
    (moved / 'list.txt').write_text('sub/3\n0\n')
    assert fingerprint(build(leaf(moved, ann_file='list.txt'))) != here


def test_heads_decide_what_is_ignored(folder) -> None:
    assert heads_ignore_index(dict(model=dict(decode_head=[dict(), dict(ignore_index=3)]))) == 3
    assert heads_ignore_index(dict(model=dict(decode_head=dict()))) == 255
    assert heads_ignore_index({}) is None
    scan = scan_dataset(build(leaf(folder)), 0, ignore_index=3)
    rows = reference(folder)
    assert scan.stats.pixels == (*rows[:, :3].sum(0), 0)
    assert scan.stats.ignored_pixels == rows[:, 3].sum()
    assert scan.audit['outside_classes']['total'] == len(rows)
    with pytest.raises(BadLabelsError, match=r'holds 255 .*, which are neither below 4 \(.*\) nor 3 \(ignored\)'):
        scan_dataset(build(leaf(folder)), 0, ignore_index=3, strict=True)


@pytest.mark.parametrize('loader', [dict(imdecode_backend='cv2'), dict(imdecode_backend='pillow')])
def test_palette_files_are_read_as_the_dataset_reads_them(folder, loader) -> None:
    label = np.array([[0, 1, 3]], np.uint8).repeat(4, 0)
    image = Image.fromarray(label, mode='P')
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    for file in (folder / 'annotations/train').rglob('*.png'):
        image.save(file)
    dataset = build(leaf(folder, pipeline=[dict(type='LoadAnnotations', **loader)]))
    if loader['imdecode_backend'] == 'cv2':  # decodes the colours: the trainer would fail as well
        with pytest.raises(BadLabelsError, match='at least one labelled pixel') as error:
            scan_dataset(dataset, 0)
        assert error.value.problems[0].startswith('error: not_one_channel: annotations/train/0.png: '
                                                  'loads as an array (4, 3, 3) of uint8; it is a palette PNG')
    else:
        assert scan_dataset(dataset, 0).stats.pixels == (28, 28, 0, 28)


def test_report_round_trip(folder, tmp_path) -> None:
    scan = scan_dataset(build(leaf(folder)), 0, 'train')
    path, arrays = write_report(scan, tmp_path / 'new' / 'x.stats.json')
    assert sorted(p.name for p in path.parent.iterdir()) == ['x.stats.json', 'x.stats.npz']
    assert ClassStats.load(path) == scan.stats
    data = json.loads(path.read_text())
    assert list(data) == ['version', 'classes', 'pixels', 'images', 'image_pixels', 'num_images', 'ignored_pixels',
                          'provenance', 'per_image', 'per_image_sha256', 'cooccurrence', 'audit', 'counts_sha256', 'run']
    assert data['provenance'] == {
        'dataset': 'BaseSegDataset', 'split': 'train', 'reduce_zero_label': False, 'label_map': None, 'ignore_index': 255,
        'num_images': 7, 'fingerprint': fingerprint(build(leaf(folder))), 'mmimb': data['provenance']['mmimb']}
    assert str(tmp_path) not in path.read_text()
    with np.load(arrays, allow_pickle=False) as npz:
        assert {k: v.dtype.str for k, v in npz.items()} == {'indptr': '<i8', 'class_index': '<i4', 'pixels': '<i8',
                                                            'files': '<U27', 'ignored': '<i8'}
    loaded = PerImageCounts.load(path)
    np.testing.assert_array_equal(dense(loaded, 4), dense(scan.per_image, 4))
    np.testing.assert_array_equal(loaded.ignored, reference(folder)[:, -1])
    first = path.read_bytes(), arrays.read_bytes()
    write_report(scan_dataset(build(leaf(folder)), 2, 'train'), check_report_path(path))
    assert (path.read_bytes(), arrays.read_bytes()) == first
    path.write_text('{"version": 99, "pixels": "of another time"}')
    assert check_report_path(path) == path
    for text in ('[1, 2]', '{"a": 1}', '{', '\xff'):
        path.write_text(text, encoding='latin-1')
        with pytest.raises(ValueError, match='a new file or a report to replace'):
            check_report_path(path)
    path.unlink()
    assert check_report_path(path) == path  # what is left of a report can go
    for write in (lambda: np.savez(arrays, x=first[0]), lambda: arrays.write_bytes(b'PK')):
        write()
        with pytest.raises(ValueError, match=rf"leave other files alone, got .*{arrays.name}', which"):
            check_report_path(path)


def test_a_failed_write_leaves_the_old_report(folder, tmp_path, monkeypatch) -> None:
    scan = scan_dataset(build(leaf(folder)), 0)
    path, arrays = write_report(scan, tmp_path / 'x.json')
    before = path.read_bytes(), arrays.read_bytes()

    def full(file, **arrays):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez_compressed', full)
    with pytest.raises(OSError, match='No space'):
        write_report(scan, path)
    assert (path.read_bytes(), arrays.read_bytes()) == before
    assert len([p for p in tmp_path.iterdir() if p.is_file()]) == 2


def test_camvid_exactly(camvid) -> None:
    cfg = dict(type='mmimb.CamVidDataset', data_root=str(camvid), ann_file='train.txt', pipeline=PIPELINE,
               data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'))
    scan = scan_dataset(build(cfg))
    assert scan.stats.pixels == CAMVID_PIXELS
    assert scan.stats.images == CAMVID_IMAGES
    assert (scan.stats.num_images, scan.stats.ignored_pixels) == (367, CAMVID_IGNORED)
    assert dense(scan.per_image, 11).sum() == sum(CAMVID_PIXELS)
