"""Files that say one thing and hold another: each is an error or a finding in one line, soon, and without much memory."""
from __future__ import annotations

import io
import json
import os
import resource
import signal
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from support.scanning import build, leaf, write_pair
from support.tiny_run import make_config, make_dataset, make_report, tool

from mmimb.files import require_regular
from mmimb.scan import scan_dataset
from mmimb.scan.label_file import damage, decode, missing_pixels
from mmimb.stats import ClassStats, npz
from mmimb.stats.per_image import PerImageCounts
from mmimb.weights.base import read_class_weight


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """No test here may take long: a file that hangs a reader must not hang the tests."""
    def late(number, frame):
        raise TimeoutError('it takes too long')

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(150)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def false_npy(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header + bytes(80)


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_that_unpacks_to_more_than_its_directory_says(tmp_path, method):
    path, size = tmp_path / 'x.npz', 2**28
    with zipfile.ZipFile(path, 'w', method) as file, file.open('a.npy', 'w') as entry:
        for _ in range(2**4):
            entry.write(bytes(2**24))
    data = path.read_bytes()
    assert data.count(struct.pack('<I', size)) >= 1
    path.write_bytes(data.replace(struct.pack('<I', size), struct.pack('<I', 1000)))
    with zipfile.ZipFile(path) as file:
        assert file.getinfo('a.npy').file_size == 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r'must be an \.npz of the scanner'):
        npz.read(path, ['a'])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB: a quarter of what it holds


BOMB = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
    f'{new}: &{new} [{", ".join([f"*{old}"] * 10)}]\n' for old, new in zip('abcdefgh', 'bcdefghi', strict=True))


@pytest.mark.parametrize(('name', 'data'), [
    ('deep.json', b'[' * 100_000), ('closed.json', b'[' * 2000 + b'1' + b']' * 2000), ('deep.yaml', b'[' * 100_000),
    ('bomb.yaml', BOMB.encode()), ('alias.yml', b'[&a 1, *a]'), ('huge.npy', false_npy('(1000000000000,)')),
    ('negative.npy', false_npy('(-2, -5)')), ('digits.json', b'[1, 1' + b'0' * 400 + b']'), ('float.json', b'[1, 1e999]'),
    ('digits.yaml', b'[1, 1' + b'0' * 400 + b']'), ('more.json', b'[1, 1' + b'0' * 5000 + b']'), ('utf.json', b'\xff\xfe['),
    ('long.json', b'[' + b'1,' * 2**20 + b'1]'), ('objects.npy', npy(np.array([{}], dtype=object))), ('text.npy', b'\x93NUMPY'),
    ('complex.npy', npy(np.ones(3, complex))), ('python.yaml', b'!!python/object/apply:os.getcwd []'), ('empty.npy', b'')])
def test_class_weights(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises((ValueError, TypeError)) as error:
        read_class_weight(str(tmp_path / name))
    assert str(error.value).startswith('`class_weight` must be ')
    assert len(str(error.value)) < 1000
    assert '\n' not in str(error.value)


def test_an_npz_by_the_name_of_an_npy(tmp_path):
    with (tmp_path / 'x.npy').open('wb') as file:
        np.savez(file, a=np.ones(3))
    with pytest.raises(ValueError, match=r'`class_weight` must be a readable \.npy file'):
        read_class_weight(str(tmp_path / 'x.npy'))


@pytest.mark.parametrize(('name', 'data'), [
    ('a.json', b'[1, 0.5, 2]'), ('a.yaml', b'- 1\n- 0.5\n- 2\n'), ('a.yml', b'[1, 0.5, 2]'),
    ('a.npy', npy(np.array([1, .5, 2]))), ('b.npy', npy(np.array([1, .5, 2], np.float16)))])
def test_ordinary_class_weights(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert read_class_weight(str(tmp_path / name)) == [1, 0.5, 2]
    (tmp_path / 'i.npy').write_bytes(npy(np.array([1, 2])))
    assert read_class_weight(str(tmp_path / 'i.npy')) == [1, 2]


@pytest.mark.parametrize('data', [b'[' * 100_000, b'{"pixels": [1, 1' + b'0' * 400 + b']}', b'{"pixels": [1, 1e999]}',
                                  b'{"pixels": [1, 1' + b'0' * 5000 + b']}', b'\xff'])
def test_reports(tmp_path, data):
    (tmp_path / 'r.json').write_bytes(data)
    with pytest.raises((ValueError, TypeError), match='must be'):
        ClassStats.load(tmp_path / 'r.json')


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(rows: int, *, height: int = 128, width: int = 100, depth: int = 8, last: int = 7, interlace: int = 0) -> bytes:
    """A PNG with valid checksums whose pixels, all of them ``last``, end after some rows."""
    row = b'\0' + bytes([last]) * -(-width * depth // 8)
    header = struct.pack('>IIBBBBB', width, height, depth, 0, 0, 0, interlace)
    packed = zlib.compress(row * rows)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', packed[:9]) + chunk(b'IDAT', packed[9:])
            + chunk(b'IEND', b''))


def test_a_png_that_ends_before_its_pixels(tmp_path):
    data = png(10)
    assert damage(data) is None
    assert not decode(data, 'pillow').ended
    assert missing_pixels(data) == ('truncated_label', 'holds 10 of 128 rows; the others are read as 0')
    for whole in (png(128), png(128, last=0), png(128, depth=1), png(128, depth=16)):
        assert missing_pixels(whole) is None
    assert decode(png(128), 'pillow').ended
    assert missing_pixels(png(3, depth=16))[1].startswith('holds 3 of 128 rows')
    assert missing_pixels(b'\xff\xd8\xff no png') is missing_pixels(b'\x89PNG\r\n\x1a\n') is None


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (5, 3), (8, 8), (31, 17)])
@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'I;16', 'RGB', 'RGBA', 'LA'])
def test_whole_pngs_of_every_kind_are_whole(mode, size):
    from PIL import Image
    file = io.BytesIO()
    Image.new(mode, size).save(file, 'PNG')
    assert missing_pixels(file.getvalue()) is None


def interlaced(size: tuple[int, int]) -> bytes:
    """A whole interlaced PNG of zeros, pass by pass as the standard tells (8.2)."""
    width, height = size
    rows = b''
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        columns = len(range(x, width, dx))
        rows += (b'\0' + bytes(columns)) * len(range(y, height, dy)) if columns else b''
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 1)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (5, 3), (8, 8), (31, 17)])
def test_interlaced_pngs(size):
    data = interlaced(size)
    assert decode(data, 'pillow').shape == tuple(length for length in size[::-1] if length != 1)
    assert missing_pixels(data) is None
    if size == (31, 17):
        assert missing_pixels(png(10, interlace=1))[1].endswith('% of the pixels; the others are read as 0')


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', '/dev/zero', tmp_path):
        with pytest.raises(OSError, match=r'is a pipe|Is a directory'):
            require_regular(path)
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to('file')
    require_regular(tmp_path / 'link')


class Binarize(BaseTransform):
    def transform(self, results):
        return {**results, 'gt_seg_map': (results['gt_seg_map'] > 0).astype('uint8')}


def test_a_pipe_under_a_transform_of_the_user(tmp_path):
    """The transforms are tried on a few images before any file is read."""
    for name in 'abc':
        write_pair(tmp_path, name, np.ones((4, 5), np.uint8))
    (tmp_path / 'annotations/train/a.png').unlink()
    os.mkfifo(tmp_path / 'annotations/train/a.png')
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type=Binarize), dict(type='PackSegInputs')]
    found = scan_dataset(build(leaf(tmp_path, pipeline=steps)), 0, 'train')
    assert found.audit['unreadable_label']['total'] == 1
    assert sum(found.stats.pixels) == 40


@pytest.mark.slow
def test_a_scan_of_such_a_dataset(tmp_path):
    data = make_dataset(tmp_path / 'data')
    for name in ('0', '1', '2'):
        (data / f'labels/{name}.png').unlink()
    os.mkfifo(data / 'labels/0.png')
    (data / 'labels/1.png').symlink_to('/dev/zero')
    (data / 'labels/2.png').write_bytes(png(10, width=64, height=64, last=1))
    config = make_config(tmp_path / 'c.py', data, make_report(tmp_path / 's.json'))
    result = tool('scan_dataset.py', config, '--out', tmp_path / 'r.json', '--workers', '0', '--crops', '1')
    assert result.returncode == 3, result.stderr
    for line in ('error: unreadable_label: labels/0.png: cannot be read: is a pipe or a device, no file',
                 'error: unreadable_label: labels/1.png: cannot be read: is a pipe or a device, no file',
                 'error: truncated_label: labels/2.png: holds 10 of 64 rows; the others are read as 0'):
        assert line in result.stderr.splitlines()
    assert len([line for line in result.stderr.splitlines() if line.startswith('crops: ') and 'no file' in line]) == 2
    report = json.loads((tmp_path / 'r.json').read_text())
    assert len(PerImageCounts.load(tmp_path / 'r.json').files) == 8
    arrays = dict(np.load(tmp_path / 'r.npz'))
    assert report['per_image_sha256'] == npz.digest(arrays)
    arrays['ignored'] = arrays['ignored'].copy()
    arrays['ignored'][-1] += 1  # no sum of the report changes
    (tmp_path / 'r.npz').write_bytes(npz.pack(arrays))
    with pytest.raises(ValueError, match='`per_image_sha256` does not fit'):
        PerImageCounts.load(tmp_path / 'r.json')
