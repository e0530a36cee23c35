"""Every finding of the audit, with a really broken file; the files around it are counted all the same."""
from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.scanning import build, dense, leaf, write_pair

from mmimb.scan import BadLabelsError, scan_dataset
from mmimb.scan.audit import finding_lines
from mmimb.scan.findings import FINDINGS
from mmimb.scan.image_file import sample_digest

GOOD = {'g0': [[0, 1, 2, 3]] * 3, 'g1': [[3, 3, 2, 255]] * 3}


@pytest.fixture
def root(tmp_path):
    for name, label in GOOD.items():
        write_pair(tmp_path, name, np.array(label, np.uint8))
    return tmp_path


def label(*, height: int = 64, width: int = 48, high: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (height, width), np.uint8)


def scan(root, other=None, **arguments):
    dataset = build(leaf(root, **arguments))
    return scan_dataset(dataset, 0, 'train', other=other, other_split=other and 'val')


def only(found, finding: str) -> list[tuple[str | None, str]]:
    """Check that this is all that was found; return its files and details."""
    assert {*found.audit} == {finding}
    entry = found.audit[finding]
    assert entry['severity'] == FINDINGS[finding].severity
    assert entry['total'] == len(entry['files'])
    return [(one['file'], one['detail']) for one in entry['files']]


def check_good_ones(found, images: int = 2, extra: np.ndarray | None = None) -> None:
    """Check that the two good labels were counted, and ``extra`` if it is given."""
    counts = np.zeros(4, int)
    for array in [np.array(rows) for rows in GOOD.values()] + ([] if extra is None else [extra]):
        counts += [(array == c).sum() for c in range(4)]
    assert found.stats.pixels == tuple(counts)
    assert found.stats.num_images == images


def test_nothing_is_found_in_good_files(root) -> None:
    found = scan(root)
    assert found.audit == {}
    check_good_ones(found)


@pytest.mark.parametrize(('content', 'finding', 'detail'), [
    (None, 'missing_label', 'there is nothing at this path'),
    (b'', 'unreadable_label', 'is no image: 0 bytes'),
    (b'no image at all', 'unreadable_label', 'is no image: 15 bytes'),
    ('half', 'truncated_label', 'bytes without its last chunk, and cannot be decoded'),
    ('folder', 'unreadable_label', 'cannot be read: Is a directory'),
    ('rgb', 'not_one_channel', 'loads as an array (64, 48, 3) of uint8'),
    ('flipped', 'unreadable_label', 'cannot be decoded: '),
])
def test_a_label_that_cannot_be_counted(root, content, finding, detail) -> None:
    _, path = write_pair(root, 'bad', label())
    data = path.read_bytes()
    path.unlink()
    if content == 'rgb':
        Image.new('RGB', (48, 64)).save(path)
    elif content == 'folder':
        path.mkdir()
    elif content == 'flipped':  # valid checksums around data that is no zlib stream
        at = data.index(b'IDAT')
        size = struct.unpack('>I', data[at - 4:at])[0]
        chunk = b'IDAT' + b'\x55' * size
        path.write_bytes(data[:at] + chunk + struct.pack('>I', zlib.crc32(chunk)) + data[at + 8 + size:])
    elif content is not None:
        path.write_bytes(data[:400] if content == 'half' else content)
    found = scan(root)
    (file, text), = only(found, finding)
    assert file == 'annotations/train/bad.png'
    assert detail in text
    assert str(root) not in text
    check_good_ones(found)
    assert found.per_image.files == tuple(f'annotations/train/{name}.png' for name in ('bad', 'g0', 'g1'))
    assert dense(found.per_image, 4)[0].sum() == 0


def test_a_cut_file_that_decodes_all_the_same(root) -> None:
    _, path = write_pair(root, 'bad', label())
    path.write_bytes(path.read_bytes()[:-12])
    found = scan(root)
    assert 'without its last chunk' in only(found, 'truncated_label')[0][1]
    check_good_ones(found, 3, label())


def test_a_wrong_checksum(root) -> None:
    _, path = write_pair(root, 'bad', label())
    data = bytearray(path.read_bytes())
    data[-14] ^= 1  # of the last data chunk
    path.write_bytes(data)
    found = scan(root)
    assert only(found, 'damaged_label')[0][1].startswith("has a wrong checksum in its chunk 'IDAT'")
    check_good_ones(found, 3, label())


def test_a_missing_image(root) -> None:
    (root / 'list.txt').write_text('g0\ng1\n')
    (root / 'images/train/g1.jpg').unlink()
    found = scan(root, ann_file='list.txt')
    assert only(found, 'missing_image') == [('annotations/train/g1.png', "its image 'images/train/g1.jpg' is not there")]
    check_good_ones(found)


@pytest.mark.parametrize('content', [b'', b'no image'])
def test_an_unreadable_image(root, content) -> None:
    (root / 'images/train/g1.jpg').write_bytes(content)
    found = scan(root)
    assert only(found, 'unreadable_image') == [('images/train/g1.jpg', 'is no image')]
    check_good_ones(found)


def test_labels_that_no_image_belongs_to(root) -> None:
    for name in ('x', 'sub/y'):
        write_pair(root, name, label())[0].unlink()
    (root / 'annotations/train/notes.txt').write_text('')
    found = scan(root)
    assert [file for file, _ in only(found, 'unlisted_label')] == ['annotations/train/x.png', 'annotations/train/sub/y.png']
    check_good_ones(found)
    (root / 'list.txt').write_text('g0\ng1\n')  # a list chooses: the rest may belong to another split
    assert scan(root, ann_file='list.txt').audit == {}


def test_values_that_do_not_fit_a_byte(root) -> None:
    """300 becomes 44 in mmseg's loader, which is a class in a list of 50."""
    wide = np.full((64, 48), 1, np.uint16)
    wide[0, :3], wide[1, 0] = 300, 299
    write_pair(root, 'wide', np.zeros((64, 48), np.uint8))
    Image.fromarray(wide).save(root / 'annotations/train/wide.png')
    found = scan(root, metainfo=dict(classes=[f'c{i}' for i in range(50)]))
    assert {*found.audit} == {'wide_values', 'class_never_seen'}
    one, = found.audit['wide_values']['files']
    assert one == {'file': 'annotations/train/wide.png',
                   'detail': 'holds 299 (1 pixels), 300 (3 pixels) as uint16; training sees 43 instead of 299; '
                             'write class indices in 8 bits'}
    assert (found.stats.pixels[44], found.stats.pixels[43]) == (3, 1)
    Image.fromarray(np.minimum(wide, 3)).save(root / 'annotations/train/wide.png')  # 16 bits that fit are no finding
    assert scan(root).audit == {}


def test_values_outside_the_classes(root) -> None:
    bad = label()
    bad[0, :5], bad[1, 0] = 4, 200
    write_pair(root, 'bad', bad)
    found = scan(root)
    assert only(found, 'outside_classes') == [('annotations/train/bad.png', 'holds 4 (5 pixels), 200 (1 pixels), which are '
                                               'neither below 4 (the number of classes) nor 255 (ignored)')]
    check_good_ones(found, 3, bad)


def test_many_values_are_shown_in_part(root) -> None:
    write_pair(root, 'bad', np.arange(64 * 48, dtype=np.int64).reshape(64, 48).astype(np.uint8))
    assert only(scan(root), 'outside_classes')[0][1].count('pixels') == 5
    assert 'and 246 more' in only(scan(root), 'outside_classes')[0][1]


@pytest.mark.parametrize('orientation', [1, 6])
def test_a_label_of_another_size(root, orientation) -> None:
    """An image that its EXIF entry turns is loaded turned: a label of the stored size does not fit it then."""
    entries = Image.Exif()
    entries[0x0112] = orientation
    pixels = np.random.default_rng(1).integers(0, 255, (4, 3, 3), np.uint8)
    image, _ = write_pair(root, 'turned', np.zeros((4, 3), np.uint8))
    Image.fromarray(pixels).save(image, exif=entries)
    found = scan(root)
    if orientation == 1:
        assert found.audit == {}
    else:
        assert only(found, 'size_mismatch') == [('annotations/train/turned.png', 'is 3 x 4 pixels, its image 4 x 3')]
    check_good_ones(found, 3, np.zeros((4, 3)))


def test_an_empty_label(root) -> None:
    write_pair(root, 'void', np.full((5, 6), 255, np.uint8))
    found = scan(root)
    assert only(found, 'empty_label') == [('annotations/train/void.png', 'all 30 pixels are ignored')]
    check_good_ones(found, 3)
    assert found.stats.ignored_pixels == 3 + 30


def test_classes_that_never_occur(root) -> None:
    found = scan(root, metainfo=dict(classes=('a', 'b', 'c', 'd', 'e')))
    assert only(found, 'class_never_seen') == [(None, "class 4, 'e'")]


def test_reduce_zero_label_forgotten(root) -> None:
    shutil.rmtree(root / 'annotations')
    shutil.rmtree(root / 'images')
    for i in range(3):
        write_pair(root, f'{i}', label(high=5) if i else label(high=5) * 0 + 4)
    found = scan(root)
    assert found.audit['reduce_zero_label']['severity'] == 'warning'
    detail = found.audit['reduce_zero_label']['files'][0]['detail']
    zeros, fours = 2 * (label(high=5) == 0).sum(), 2 * (label(high=5) == 4).sum() + label().size
    assert detail == (f'is False, but the labels hold values up to 4 (3 labels, {fours} pixels) where the last of 4 classes is '
                      f'3, and value 0 is in 2 labels ({100 * zeros / (3 * label().size):.1f} % of the pixels): '
                      'the classes seem to begin at 1')
    assert 'reduce_zero_label' not in scan(root, reduce_zero_label=True).audit


def test_reduce_zero_label_set_by_mistake(root) -> None:
    found = scan(root, reduce_zero_label=True)
    assert {*found.audit} == {'reduce_zero_label', 'class_never_seen'}
    detail = found.audit['reduce_zero_label']['files'][0]['detail']
    assert detail.startswith("is True, which makes 0 ignored and 1 the first of 4 classes, but the labels hold values up to 3 "
                             "only, so that 'd' never occurs, and value 0 is in 1 labels (12.5 % of the pixels)")


def test_copies_of_images_and_labels(root) -> None:
    write_pair(root, 'h', label())
    for kind, suffix in (('annotations', 'png'), ('images', 'jpg')):
        for name in 'ij':
            shutil.copy(root / f'{kind}/train/h.{suffix}', root / f'{kind}/train/{name}.{suffix}')
    found = scan(root)
    assert {*found.audit} == {'duplicate_label', 'duplicate_image'}
    assert [tuple(one.values()) for one in found.audit['duplicate_image']['files']] == [
        (f'images/train/{name}.jpg', "has the content of 'images/train/h.jpg'") for name in 'ij']
    assert [one['file'] for one in found.audit['duplicate_label']['files']] == ['annotations/train/i.png',
                                                                                'annotations/train/j.png']


def test_one_label_of_two_images_is_no_copy(root) -> None:
    shutil.copytree(root / 'images', root / 'other/images')
    both = [leaf(root), leaf(root, data_prefix=dict(img_path='other/images/train', seg_map_path='annotations/train'))]
    found = scan_dataset(build(dict(type='ConcatDataset', datasets=both)), 0)
    copies = [(f'other/images/train/{name}.jpg', f"has the content of 'images/train/{name}.jpg'") for name in GOOD]
    assert only(found, 'duplicate_image') == copies


def test_roots_of_joined_datasets_tell_equal_names_apart(root, tmp_path_factory) -> None:
    """A copy under another root is found, a stray label in a folder that two datasets read is found once."""
    second = tmp_path_factory.mktemp('second') / 'city'
    shutil.copytree(root, second)
    write_pair(root, 'stray', label())[0].unlink()
    both = [leaf(root), leaf(second), leaf(root, seg_map_suffix='.png', img_suffix='.jpg')]
    found = scan_dataset(build(dict(type='ConcatDataset', datasets=both)), 0)
    assert {*found.audit} == {'duplicate_image', 'duplicate_label', 'unlisted_label'}
    assert [tuple(one.values()) for one in found.audit['duplicate_image']['files']] == [
        (f'city/images/train/{name}.jpg', f"has the content of '{root.name}/images/train/{name}.jpg'") for name in GOOD]
    assert [one['file'] for one in found.audit['unlisted_label']['files']] == [f'{root.name}/annotations/train/stray.png']


def test_images_of_another_split_are_read_with_its_own_backend(root) -> None:
    """Files of other machines are known by their paths."""
    far = [dict(type='LoadImageFromFile', backend_args=dict(backend='http')), dict(type='LoadAnnotations')]
    found = scan(root, pipeline=far, other=build(leaf(root, ann_file=_list(root, 'g1'), pipeline=far)))
    assert [one['file'] for one in found.audit['in_both_splits']['files']] == ['images/train/g1.jpg']


def test_files_in_training_and_validation(root) -> None:
    write_pair(root, 'own', label(), 'val')
    shutil.copy(root / 'images/train/g1.jpg', root / 'images/val/copied.jpg')
    found = scan(root, other=build(leaf(root, 'val')))
    assert only(found, 'in_both_splits') == [('images/train/g1.jpg',
                                              "has the content of 'images/val/copied.jpg' of the val list")]
    assert scan(root, other=build(leaf(root, 'val', ann_file=_list(root, 'own')))).audit == {}
    same = scan(root, other=build(leaf(root, ann_file=_list(root, 'g0'))))
    assert only(same, 'in_both_splits') == [('images/train/g0.jpg', "is 'images/train/g0.jpg' of the val list")]
    check_good_ones(same)


def _list(root, *names: str) -> str:
    (root / 'list.txt').write_text('\n'.join(names))
    return 'list.txt'


def test_what_cannot_be_checked_is_said(root) -> None:
    from mmseg.datasets.transforms import LoadAnnotations

    class OwnLoader(LoadAnnotations):
        def _load_seg_map(self, results):
            super()._load_seg_map(results)
            results['gt_seg_map'] = np.where(results['gt_seg_map'] == 255, 255, results['gt_seg_map'] // 2 * 2)

    found = scan(root, pipeline=[OwnLoader()])
    assert [detail for _, detail in [tuple(one.values()) for one in found.audit['not_checked']['files']]] == [
        'the values in the label files of BaseSegDataset, which loads its labels in its own way',
        'the sizes of the images of BaseSegDataset, whose pipeline has no LoadImageFromFile']
    assert found.audit['not_checked']['severity'] == 'note'
    assert found.stats.pixels == (6, 0, 15, 0)
    (root / 'annotations/train/g0.png').write_bytes(b'')
    (root / 'annotations/train/g1.png').unlink()
    with pytest.raises(BadLabelsError) as error:
        scan(root, pipeline=[OwnLoader()])
    assert [line.split(': ')[1] for line in error.value.problems[:2]] == ['missing_label', 'unreadable_label']


def test_strict_stops_at_the_first(root) -> None:
    for name in ('a', 'h'):
        write_pair(root, name, label())[1].write_bytes(b'')
    with pytest.raises(BadLabelsError, match=r'unreadable_label: annotations/train/a\.png: is no image: 0 bytes$') as error:
        scan_dataset(build(leaf(root)), 0, strict=True)
    assert len(error.value.problems) == 1
    assert finding_lines(scan(root).audit)[1] == 'error: unreadable_label: annotations/train/h.png: is no image: 0 bytes'
    for name in ('a', 'h'):
        os.unlink(root / f'annotations/train/{name}.png')
        os.unlink(root / f'images/train/{name}.jpg')
    with pytest.raises(BadLabelsError, match='class_never_seen'):
        scan_dataset(build(leaf(root, metainfo=dict(classes=[*'abcde']))), 0, strict=True)


def test_every_finding_has_a_test() -> None:
    text = ''.join(file.read_text(encoding='utf-8') for file in Path(__file__).parent.glob('test_*.py') if 'audit' in file.name
                   or 'scan' in file.name or 'duplicates' in file.name)
    assert [name for name in FINDINGS if f"'{name}'" not in text] == []


def test_uncompressed_images_that_share_their_borders_are_no_copies(tmp_path) -> None:
    image = np.zeros((512, 512, 3), np.uint8)
    digests = set()
    for i, value in enumerate((1, 2)):
        image[200:320] = value
        cv2.imwrite(str(tmp_path / f'{i}.bmp'), image)
        with (tmp_path / f'{i}.bmp').open('rb') as file:
            digests.add(sample_digest(file))
    assert len(digests) == 2
