"""Parts of a scan join to the bytes of one process, in any order and grouping; what does not belong together is refused."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from support.scanning import build, leaf, write_pair

from mmimb.scan.job import ScanJob
from mmimb.scan.part import Part, join_parts, read_part, write_part
from mmimb.scan.reader import Reader
from mmimb.scan.report import write_report
from mmimb.scan.scan import finish, read_files
from mmimb.scan.shards import launched_shard, read_shard, shard_path, shard_ranges
from mmimb.stats import ClassStats

SHARDS = 5
CONFIG = '''
train_dataloader = dict(dataset=dict(
    type='BaseSegDataset', data_root='set', metainfo=dict(classes=('a', 'b', 'c', 'd')),
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]))
val_dataloader = dict(dataset=dict(train_dataloader['dataset'],
                                   data_prefix=dict(img_path='images/val', seg_map_path='annotations/val')))
'''


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """23 images with findings of all kinds: within a file, between files that are shards apart, between splits."""
    root = tmp_path_factory.mktemp('shards') / 'set'
    rng = np.random.default_rng(0)
    for i in range(23):
        label = rng.choice([0, 1, 3, 255], (9, 8 + i), p=[.5, .3, .1, .1]).astype(np.uint8)
        label[0, 0] = 7 if i % 6 == 4 else 0
        _, path = write_pair(root, f'{i:02d}', label)
        if i % 7 == 5:
            path.write_bytes(path.read_bytes()[:60])
    for i in range(5):
        write_pair(root, f'{i}', np.zeros((3, 3), np.uint8), 'val')
    (root / 'images/train/20.jpg').write_bytes((root / 'images/train/01.jpg').read_bytes())
    (root / 'images/val/3.jpg').write_bytes((root / 'images/train/10.jpg').read_bytes())
    (root / 'annotations/train/alone.png').write_bytes(b'')
    (root.parent / 'config.py').write_text(CONFIG)
    return root


@pytest.fixture(scope='module')
def reader(root):
    return Reader(build(leaf(root)), 255, 'train', other=build(leaf(root, 'val')), other_split='val')


@pytest.fixture(scope='module')
def parts(reader) -> list[Part]:
    return [read_files(reader, 0, (i, SHARDS)) for i in range(SHARDS)]


def report(part: Part, folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in write_report(finish(part), folder / 's.json')]


def through_files(part: Part, path: Path) -> Part:
    return read_part(write_part(part, path, dict(host='x'))[0])


def test_the_audit_spans_the_parts(parts) -> None:
    found = finish(join_parts(parts)).audit
    assert {name: entry['total'] for name, entry in found.items()} == {
        'truncated_label': 3, 'outside_classes': 4, 'size_mismatch': 1, 'in_both_splits': 1, 'class_never_seen': 1,
        'unlisted_label': 1, 'duplicate_image': 1}


@pytest.mark.parametrize('seed', range(8))
def test_any_order_and_grouping_gives_the_bytes_of_one_process(reader, parts, tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    left = [parts[i] for i in rng.permutation(SHARDS)]
    while len(left) > 1:
        first, second = left.pop(int(rng.integers(len(left)))), left.pop(int(rng.integers(len(left))))
        left.append(through_files(join_parts([first, second]), tmp_path / f'{len(left)}.json'))
    assert report(left[0], tmp_path / 'joined') == report(read_files(reader, 0), tmp_path / 'whole')


def test_a_union_has_the_same_bytes_in_any_order(parts, tmp_path) -> None:
    a, b, c = parts[3], parts[0], parts[2]
    ways = {'abc': [a, b, c], 'cab': [c, a, b], 'a(bc)': [a, join_parts([b, c])], '(ca)b': [join_parts([c, a]), b]}
    written = {name: [path.read_bytes() for path in write_part(join_parts(way), tmp_path / name / 'p.json', {})]
               for name, way in ways.items()}
    assert len({tuple(data) for data in written.values()}) == 1


@pytest.mark.parametrize('shards', [1, 2, 3, 7, 23, 40])
def test_every_image_is_in_exactly_one_shard(reader, shards) -> None:
    ranges = [bounds for i in range(shards) for bounds in shard_ranges(reader.manifest, (i, shards))]
    assert sorted(position for bounds in ranges for position in range(*bounds)) == list(range(28))


def test_more_shards_than_images(reader, tmp_path) -> None:
    pieces = [through_files(read_files(reader, 0, (i, 40)), tmp_path / f'{i}.json') for i in range(40)]
    assert report(join_parts(pieces), tmp_path / 'joined') == report(read_files(reader, 0), tmp_path / 'whole')


@pytest.mark.parametrize(('settings', 'rule'), [
    (dict(ignore_index=254), '`ignore_index`: 255 and 254'), (dict(split='val'), "`split`: 'train' and 'val'"),
    (dict(other=None, other_split=None), '`total`: 28 and 23')])
def test_parts_of_different_scans_are_refused(root, parts, settings, rule) -> None:
    settings = {**dict(ignore_index=255, split='train', other=build(leaf(root, 'val')), other_split='val'), **settings}
    stranger = read_files(Reader(build(leaf(root)), **settings), 0, (1, SHARDS))
    with pytest.raises(ValueError, match=r'^parts must be of one scan, got different ') as error:
        join_parts([parts[0], stranger])
    assert rule in str(error.value)


@pytest.mark.parametrize(('arguments', 'rule'), [
    (dict(reduce_zero_label=True), '`reduce_zero_label`: False and True'),
    (dict(ann_file='some.txt'), '`num_images`: 23 and 2'),
    (dict(metainfo=dict(classes=[*'abcx'])), "`classes`: ['a', 'b', 'c', 'd'] and ['a', 'b', 'c', 'x']"),
    (dict(ann_file='moved.txt'), '`fingerprint`: ')])
def test_parts_of_different_datasets_are_refused(root, parts, arguments, rule) -> None:
    (root / 'some.txt').write_text('00\n01\n')
    (root / 'moved.txt').write_text('\n'.join(f'{i:02d}' for i in reversed(range(23))))
    other = Reader(build(leaf(root, **arguments)), 255, 'train', other=build(leaf(root, 'val')), other_split='val')
    with pytest.raises(ValueError, match=r'^parts must be of one scan, got different ') as error:
        join_parts([parts[0], read_files(other, 0, (1, SHARDS))])
    assert rule in str(error.value)


def test_overlapping_parts_are_refused(reader, parts) -> None:
    with pytest.raises(ValueError, match=r'^parts must not overlap, got image 4 of the list in more than one$'):
        join_parts([parts[0], parts[1], read_files(reader, 0, (1, SHARDS))])
    with pytest.raises(ValueError, match=r'^`part` must hold all 28 images, got 5$'):
        finish(parts[0])


def test_a_part_is_no_report(parts, tmp_path) -> None:
    path, arrays = write_part(parts[0], tmp_path / 'p.json', {})
    with pytest.raises(ValueError, match=r'`stats` must be a whole report, .*; join all parts with `mmimb scan merge'):
        ClassStats.load(path)
    whole = write_report(finish(join_parts(parts)), tmp_path / 'whole.json')[0]
    with pytest.raises(ValueError, match=r'`part` must be what `--shard` or `--launcher` writes, got .* with a whole report'):
        read_part(whole)
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_part(tmp_path / 'nothing.json')
    arrays.unlink()
    with pytest.raises(ValueError, match='`part` must be what the scanner wrote'):
        read_part(path)


@pytest.mark.parametrize('text', ['', '1', '1/', '/2', '2/2', '3/2', '-1/2', '0/0', '1/2/3', 'a/b', '0.5/2'])
def test_bad_shards(text) -> None:
    with pytest.raises(ValueError, match=r'`shard` must be i/n with 0 <= i < n, got '):
        read_shard(text)


def test_launchers() -> None:
    assert launched_shard('pytorch', dict(RANK='2', WORLD_SIZE='3')) == (2, 3)
    assert launched_shard('slurm', dict(SLURM_PROCID='0', SLURM_NTASKS='1')) == (0, 1)
    with pytest.raises(ValueError, match=r"`launcher` slurm must be used in processes that srun starts, got SLURM_PROCID=None"):
        launched_shard('slurm', dict(RANK='2', WORLD_SIZE='3'))
    with pytest.raises(ValueError, match=r"`launcher` must be one of \('pytorch', 'slurm'\), got 'mpi'"):
        launched_shard('mpi', {})
    assert shard_path(Path('a/s.json'), (1, 2)) == Path('a/s.1of2.json')
    assert shard_path(Path('a/s.json'), (0, 1)) == Path('a/s.json')


@pytest.mark.slow
def test_torchrun_and_merge_give_the_bytes_of_one_process(root, monkeypatch) -> None:
    work, tool = root.parent, str(ROOT / 'tools/scan_dataset.py')
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}

    def run(*command: str, status: int) -> None:
        result = subprocess.run([sys.executable, *command], cwd=work, env=environment, capture_output=True, text=True)
        assert result.returncode == status, result.stderr
        assert 'Traceback' not in result.stderr

    run('-m', 'torch.distributed.run', '--nproc_per_node', '2', '--master_port', '29671', tool, 'config.py', '--launcher',
        'pytorch', '--out', 'two/s.json', '--workers', '1', status=0)
    names = [f's.{i}of2.{kind}' for i in (0, 1) for kind in ('json', 'npz')]
    assert sorted(path.name for path in (work / 'two').iterdir()) == names
    run(tool, 'merge', 'two/s.1of2.json', 'two/s.0of2.json', '--out', 'two/s.json', '--class-weight', 'InverseFrequency',
        status=3)
    monkeypatch.chdir(work)
    job = ScanJob(Config.fromfile('config.py'), 'train', work / 'one/s.json')
    write_report(finish(job.read(0)), 'one/s.json')
    lines = [[line for line in (work / name / 's.json').read_text().splitlines() if not line.startswith(' "run": ')]
             for name in ('one', 'two')]
    assert lines[0] == lines[1]
    assert (work / 'one/s.npz').read_bytes() == (work / 'two/s.npz').read_bytes()
    assert len(json.loads((work / 'two/s.InverseFrequency.json').read_text())) == 4
