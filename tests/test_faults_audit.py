"""What the audit and the layout check advise about labels and lists that people really have; each advice names its mending."""
from __future__ import annotations

import numpy as np
import pytest
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image
from support.scanning import build, leaf, write_pair

from mmimb.datasets.layout import LayoutError, check_layout
from mmimb.scan import scan_dataset

COLOURS = [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]]


def scan(root, **arguments):
    return scan_dataset(build(leaf(root, **arguments)), 0, 'train')


def detail(found, finding: str) -> str:
    return found.audit[finding]['files'][0]['detail']


def label(high: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (12, 16)).astype(np.uint8)


def blocks() -> np.ndarray:
    return np.kron(np.arange(12).reshape(3, 4) % 4, np.ones((8, 8))).astype(np.uint8)


def save_label(root, name: str, image: Image.Image, **options) -> None:
    write_pair(root, name, np.zeros(image.size[::-1], np.uint8))
    image.save(root / f'annotations/train/{name}.png', **options)


def test_one_corrupt_label_is_no_advice_for_all(tmp_path) -> None:
    for n in range(44):
        write_pair(tmp_path, f'{n:02d}', label(seed=n))
    stray = label()
    stray[0, 0] = 4
    write_pair(tmp_path, 'stray', stray)
    found = scan(tmp_path)
    assert 'outside_classes' in found.audit
    assert 'reduce_zero_label' not in found.audit


def test_advice_comes_with_most_labels(tmp_path) -> None:
    for n in range(4):
        write_pair(tmp_path, f'{n}', label(5 if n else 4, seed=n))
    assert 'the classes seem to begin at 1' in detail(scan(tmp_path), 'reduce_zero_label')
    for n in range(3):
        write_pair(tmp_path, f'more{n}', label(seed=9 + n))
    assert 'reduce_zero_label' not in scan(tmp_path).audit


def test_labels_without_0_are_evidence_where_the_last_class_is_rare(tmp_path) -> None:
    for n in range(12):
        write_pair(tmp_path, f'{n}', (1 + label(4 if n < 2 else 3, seed=n)).astype(np.uint8))
    assert 'the classes seem to begin at 1' in detail(scan(tmp_path), 'reduce_zero_label')


def test_jpeg_labels_are_named_as_such(tmp_path) -> None:
    for n in range(3):
        save_label(tmp_path, f'{n}', Image.fromarray(np.roll(blocks(), n, 0)), format='JPEG', quality=30)
    found = scan(tmp_path)
    assert found.audit['lossy_label']['total'] == 3
    assert 'write PNG' in detail(found, 'lossy_label')
    assert 'reduce_zero_label' not in found.audit


def test_masks_of_0_and_255(tmp_path) -> None:
    for n in range(3):
        write_pair(tmp_path, f'{n}', label(2, seed=n) * 255)
    arguments = dict(metainfo=dict(classes=('ground', 'crack')))
    found = scan(tmp_path, **arguments)
    assert found.audit['only_0_and_255']['severity'] == 'error'
    assert "if 255 is 'crack', write 1" in detail(found, 'only_0_and_255')
    write_pair(tmp_path, 'one', label(2))
    assert 'only_0_and_255' not in scan(tmp_path, **arguments).audit


@DATASETS.register_module()
class WhiteIsCrack(BaseSegDataset):
    """Maps its labels in its entries, which mmseg's ``label_map`` of the dataset does not know."""

    def load_data_list(self) -> list[dict]:
        return [{**entry, 'label_map': {255: 1}} for entry in super().load_data_list()]


def test_a_map_of_the_entries_is_told_and_heeded(tmp_path) -> None:
    for n in range(3):
        write_pair(tmp_path, f'{n}', label(2, seed=n) * 255)
    settings = dict(leaf(tmp_path, metainfo=dict(classes=('ground', 'crack'))), type='WhiteIsCrack')
    found = scan_dataset(build(settings), 0, 'train')
    assert found.stats.pixels[1] > 0
    assert found.stats.provenance['label_map'] == {'255': 1}
    assert 'only_0_and_255' not in found.audit


@pytest.mark.parametrize(('old', 'new'), [(0, None), (0, 300), ('0', 255)])
def test_a_map_that_no_loading_can_use_is_one_line(tmp_path, monkeypatch, old, new) -> None:
    write_pair(tmp_path, 'x', label(2))
    dataset = build(leaf(tmp_path))
    entry = {**dataset.get_data_info(0), 'label_map': {old: new}}
    monkeypatch.setattr(dataset, 'get_data_info', lambda at: dict(entry))
    with pytest.raises(ValueError, match=f'`label_map` of BaseSegDataset must map numbers .*, got {old!r}: {new!r}'):
        scan_dataset(dataset, 0, 'train')


@pytest.mark.parametrize('ignored', [True, False])
def test_255_is_a_class_where_it_is_not_ignored(tmp_path, ignored) -> None:
    write_pair(tmp_path, 'x', label(2) * 255)
    dataset = build(leaf(tmp_path, metainfo=dict(classes=tuple(map(str, range(256))))))
    found = scan_dataset(dataset, 0, 'train', ignore_index=255 if ignored else -1)
    assert ('only_0_and_255' in found.audit) is ignored


def test_colours_are_counted_and_matched_with_the_palette(tmp_path) -> None:
    write_pair(tmp_path, 'good', label())
    rgb = np.array(COLOURS, np.uint8)[blocks()]
    rgb[0, :3] = 1, 2, 3
    save_label(tmp_path, 'rgb', Image.fromarray(rgb))
    arguments = dict(metainfo=dict(classes=('a', 'b', 'c', 'd'), palette=COLOURS))
    text = detail(scan(tmp_path, **arguments), 'not_one_channel')
    assert '(200, 0, 0) b (192 pixels)' in text
    assert '(10, 20, 30) a (189 pixels)' in text
    assert 'and 1 more; 4 of these 5 are in the PALETTE' in text
    assert 'write the index of the class for each' in text


def test_three_equal_channels(tmp_path) -> None:
    write_pair(tmp_path, 'good', label())
    save_label(tmp_path, 'gray', Image.fromarray(np.stack([blocks()] * 3, -1)))
    assert 'its channels are equal: write one of them' in detail(scan(tmp_path), 'not_one_channel')


def test_a_palette_png_under_cv2(tmp_path) -> None:
    image = Image.fromarray(blocks()).convert('P')
    image.putdata(blocks().ravel().tolist())
    image.putpalette([value for colour in COLOURS for value in colour])
    save_label(tmp_path, 'x', image)
    write_pair(tmp_path, 'good', label())
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', imdecode_backend='cv2'), dict(type='PackSegInputs')]
    assert "imdecode_backend='pillow'" in detail(scan(tmp_path, pipeline=load), 'not_one_channel')
    assert scan(tmp_path).audit == {}


@pytest.mark.parametrize(('values', 'advice'), [
    (blocks().astype(np.uint16) * 256 + 3, 'label * 256 + instance: write value // 256'),
    (np.where(blocks() > 0, blocks() * np.uint16(1000) + 900, 0).astype(np.uint16), 'instance: write value // 1000'),
    (blocks().astype(np.uint16) + 60000, 'write class indices in 8 bits'),
])
def test_16_bits(tmp_path, values, advice) -> None:
    write_pair(tmp_path, 'good', label())
    save_label(tmp_path, 'wide', Image.fromarray(values))
    assert advice in detail(scan(tmp_path), 'wide_values')


def test_a_suffix_that_is_there_instead(tmp_path) -> None:
    image, path = write_pair(tmp_path, 'x', label())
    image.rename(image.with_suffix('.JPG'))
    with pytest.raises(LayoutError, match=r'no such file: .*\*\.jpg \(but there are \*\.JPG\)'):
        check_layout(leaf(tmp_path))
    image.with_suffix('.JPG').rename(image)
    path.rename(path.with_suffix('.tif'))
    with pytest.raises(LayoutError, match=r'such as x\.png\): .*\*\.png \(but there are \*\.tif\)'):
        check_layout(leaf(tmp_path))


@pytest.mark.parametrize(('content', 'message'), [
    (b'x\n\ny\n', r'must name an image in every line, got blank lines in .*: 2'),
    (b'x\n  \n\n\n\n\n\ny', r'blank lines in .*: 2, 3, 4, 5, 6 and 1 more'), (b'x\ny\n\n', r'blank lines in .*: 3'),
    (b'\xef\xbb\xbfx\ny\n', 'must be without a byte-order mark'), ('x\ny\n'.encode('utf-16'), 'must be UTF-8 text'),
    (b'x.jpg\ny.jpg\n', r'the list must name x\.jpg without its extension'), (b'\n', 'must list at least one image'),
])
def test_lists_that_name_no_images(tmp_path, content, message) -> None:
    for seed, name in enumerate('xy'):
        write_pair(tmp_path, name, label(seed=seed))
    (tmp_path / 'list.txt').write_bytes(content)
    with pytest.raises((ValueError, LayoutError), match=message):
        check_layout(leaf(tmp_path, ann_file='list.txt'))


@pytest.mark.parametrize('content', [b'x\ny\n', b'x\r\ny\r\n', b'x\ny', b' x \ny\t\n'])
def test_lists_that_are_read_as_mmengine_reads_them(tmp_path, content) -> None:
    for seed, name in enumerate('xy'):
        write_pair(tmp_path, name, label(seed=seed))
    (tmp_path / 'list.txt').write_bytes(content)
    dataset = leaf(tmp_path, ann_file='list.txt')
    check_layout(dataset)
    assert len(build(dataset)) == 2
    assert scan(tmp_path, ann_file='list.txt').audit == {}
