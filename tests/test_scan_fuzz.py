"""Reports and parts that were cut, changed or made up: one clear error, never a traceback, never other statistics."""
from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from support.scanning import build, leaf, write_pair

from mmimb.scan.part import read_part, write_part
from mmimb.scan.reader import Reader
from mmimb.scan.report import write_report
from mmimb.scan.scan import finish, read_files
from mmimb.stats import ClassStats, PerImageCounts

ROUNDS = 400
NUMBERS = (-1, -10**30, 10**30, 2**63, 0.5, float('nan'), float('inf'), True, None, '7', [], {}, [[1]], 1e300)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """The bytes of a report and of a part, by file name."""
    root, out = tmp_path_factory.mktemp('set'), tmp_path_factory.mktemp('out')
    for i in range(9):
        write_pair(root, f'{i}', np.random.default_rng(i).integers(0, 4, (5, 6 + i), np.uint8))
    reader = Reader(build(leaf(root)), split='train')
    write_report(finish(read_files(reader, 0)), out / 's.json', dict(host='x'))
    write_part(read_files(reader, 0, (0, 2)), out / 'p.json', dict(host='x'))
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def files(made, tmp_path):
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def check_error(error: Exception) -> None:
    assert isinstance(error, (ValueError, TypeError, FileNotFoundError)), repr(error)
    assert '\n' not in str(error)
    assert '`' in str(error)


def same_or_refused(read, expected, equal) -> bool:
    """Read; return whether it was refused, in one line; what is accepted must be what was written."""
    try:
        found = read()
    except Exception as error:
        check_error(error)
        return True
    assert equal(found, expected)
    return False


def equal_stats(a: ClassStats, b: ClassStats) -> bool:
    counts = ('pixels', 'images', 'image_pixels', 'num_images', 'ignored_pixels')
    return all(getattr(a, name) == getattr(b, name) for name in counts)


def equal_counts(a: PerImageCounts, b: PerImageCounts) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ('indptr', 'class_index', 'pixels', 'files'))


def changed(rng: np.random.Generator, data: bytes) -> bytes:
    """Cut, flip, overwrite, repeat or drop a piece."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 40))
    return [lambda: data[:at], lambda: data[at:],
            lambda: data[:at] + bytes([data[at] ^ (1 << rng.integers(8))]) + data[at + 1:],
            lambda: data[:at] + rng.bytes(size) + data[at + size:], lambda: data[:at] + data[at:at + size] + data[at:],
            lambda: data[:at] + data[at + size:], lambda: data[:at] + b'9' * size + data[at + 1:]][rng.integers(7)]()


@pytest.mark.parametrize('name', ['s.json', 's.npz'])
def test_changed_bytes_of_a_report(files, made, name) -> None:
    stats, counts = ClassStats.load(files / 's.json'), PerImageCounts.load(files / 's.json')
    rng, refused = np.random.default_rng(0), 0
    for _ in range(ROUNDS):
        (files / name).write_bytes(changed(rng, made[name]))
        if name == 's.json':
            same_or_refused(lambda: ClassStats.load(files / 's.json'), stats, equal_stats)
        refused += same_or_refused(lambda: PerImageCounts.load(files / 's.json'), counts, equal_counts)
    assert refused > ROUNDS / 3


@pytest.mark.parametrize('name', ['p.json', 'p.npz'])
def test_changed_bytes_of_a_part(files, made, name) -> None:
    whole = read_part(files / 'p.json')
    rng, refused = np.random.default_rng(1), 0

    def equal(a, b) -> bool:
        return all(np.array_equal(x, y) for x, y in zip(a.records.arrays().values(), b.records.arrays().values(), strict=True))

    for _ in range(ROUNDS):
        (files / name).write_bytes(changed(rng, made[name]))
        refused += same_or_refused(lambda: read_part(files / 'p.json'), whole, equal)
    assert refused > ROUNDS / 3


def paths(data, prefix=()) -> list[tuple]:
    """Return the way to every value in JSON data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [prefix] * bool(prefix) + [path for key, value in items for path in paths(value, (*prefix, key))]


@pytest.mark.parametrize('name', ['s.json', 'p.json'])
def test_other_values_in_the_json(files, made, name) -> None:
    read = {'s.json': ClassStats.load, 'p.json': read_part}[name]
    expected = read(files / name)
    counts = PerImageCounts.load(files / 's.json')
    free = ('run', 'provenance', 'audit', 'cooccurrence') if name == 's.json' else ('run', )
    ways = [way for way in paths(json.loads(made[name])) if way[0] not in free]
    rng = np.random.default_rng(2)
    for way in ways:
        for value in [NUMBERS[i] for i in rng.integers(len(NUMBERS), size=3)]:
            data = json.loads(made[name])
            holder = data
            for key in way[:-1]:
                holder = holder[key]
            holder[way[-1]] = value
            (files / name).write_text(json.dumps(data))
            if name == 's.json':
                same_or_refused(lambda: read(files / name), expected, equal_stats)
                same_or_refused(lambda: PerImageCounts.load(files / name), counts, equal_counts)
            else:
                same_or_refused(lambda: read(files / name), expected, lambda a, b: a.manifest == b.manifest)


@pytest.mark.parametrize('change', [{'pixels': [1, 2, 3, 4]}, {'ignored_pixels': 10**9}, {'num_images': 10**6},
                                    {'images': [9, 9, 9, 8]}])
def test_plausible_but_other_counts_are_refused(files, made, change) -> None:
    data = {**json.loads(made['s.json']), **change}
    (files / 's.json').write_text(json.dumps(data))
    for load in (ClassStats.load, PerImageCounts.load):
        with pytest.raises(ValueError, match='must be counts of the same scan, got others'):
            load(files / 's.json')


@pytest.mark.parametrize('version', [0, 2, -1, '1', 1.0, True, None, [1]])
def test_other_versions_are_refused(files, made, version) -> None:
    (files / 's.json').write_text(json.dumps({**json.loads(made['s.json']), 'version': version}))
    for load in (ClassStats.load, PerImageCounts.load):
        with pytest.raises(ValueError, match=r'`version` must be 1, got .*; scan again'):
            load(files / 's.json')


def archive(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def bomb(size: int) -> bytes:
    """Return an archive of a few hundred kilobytes whose array would take ``size`` bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as file, file.open('indptr.npy', 'w') as member:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, dict(descr='<i8', fortran_order=False, shape=(size // 8, )))
        member.write(header.getvalue())
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return stream.getvalue()


GOOD = dict(indptr=np.array([0, 1]), class_index=np.array([0], np.int32), pixels=np.array([3]), files=np.array(['x']))


@pytest.mark.parametrize(('data', 'rule'), [
    (b'', 'must be an .npz of the scanner'), (b'PK\x03\x04', 'must be an .npz of the scanner'),
    (bomb(100 * 2**20), 'it unpacks to 1048'), (archive(), 'must be an .npz of the scanner'),
    (archive(**{**GOOD, 'files': np.array([object()], object)}), 'must be an .npz of the scanner'),
    (archive(**{**GOOD, 'files': np.array([1])}), '`files` must be names'),
    (archive(**{**GOOD, 'files': np.array('x')}), '`files` must be names'),
    (archive(**{**GOOD, 'pixels': np.array([3.])}), 'pixels is'), (archive(**{**GOOD, 'pixels': np.array([0])}), 'be positive'),
    (archive(**{**GOOD, 'pixels': np.array([3, 4])}), 'must have 1 entries'),
    (archive(**{**GOOD, 'class_index': np.array([-1])}), 'must not be negative'),
    (archive(**{**GOOD, 'indptr': np.array([[0, 1]])}), '`indptr` must be a list of integers'),
    (archive(**{**GOOD, 'indptr': np.array([1, 1])}), '`indptr` must be ascending'),
    (archive(**{**GOOD, 'indptr': np.array([0, 2**62])}), 'must have 4611686018427387904 entries'),
    (archive(**{**GOOD, 'indptr': np.zeros(0, int)}), '`indptr` must be ascending'),
    (archive(**GOOD), '`per_image_sha256` does not fit'),
    (archive(**GOOD, ignored=np.array([1, 2])), '`ignored` must be 1 counts'),
], ids=lambda value: value if isinstance(value, str) else '')
def test_made_up_counts_are_refused(files, data, rule) -> None:
    (files / 's.npz').write_bytes(data)
    with pytest.raises(ValueError, match=r'^`per_image` of ') as error:
        PerImageCounts.load(files / 's.json')
    assert rule in str(error.value)
    check_error(error.value)


def test_the_counts_of_a_report_stay_readable(files, made) -> None:
    """Old reports hold no checksum, and nothing about the audit."""
    data = json.loads(made['s.json'])
    for key in ('counts_sha256', 'per_image_sha256', 'audit', 'cooccurrence', 'run'):
        del data[key]
    (files / 'old.json').write_text(json.dumps(data))
    assert equal_stats(ClassStats.load(files / 'old.json'), ClassStats.load(files / 's.json'))
    assert equal_counts(PerImageCounts.load(files / 'old.json'), PerImageCounts.load(files / 's.json'))
    for counts in (GOOD, {**GOOD, 'class_index': np.array([7])}):
        (files / 's.npz').write_bytes(archive(**counts))
        with pytest.raises(ValueError, match='must be counts of the same scan, got others; scan it again'):
            PerImageCounts.load(files / 'old.json')
