"""A scan that is killed at any moment leaves no process and nothing half-written, and goes on to the same bytes."""
from __future__ import annotations

import multiprocessing as mp
import os
import runpy
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from support.scanning import build, dense, leaf, write_pair

from mmimb.scan.report import write_report
from mmimb.scan.scan import finish, read_files
from mmimb.scan.store import Store

IMAGES, KILLS = 2000, 20
CONFIG = '''
train_dataloader = dict(dataset=dict(
    type='BaseSegDataset', data_root='set', metainfo=dict(classes=('a', 'b', 'c', 'd')), img_suffix='.png',
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
'''


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A config, and 2,000 small images; of every hundred labels one is cut, one has a wrong value, and one is missing."""
    root = tmp_path_factory.mktemp('resume')
    rng = np.random.default_rng(0)
    for kind in ('images', 'annotations'):
        (root / 'set' / kind / 'train').mkdir(parents=True)
    for i in range(IMAGES):
        label = rng.choice([0, 1, 2, 3, 255], (24, 32), p=[.5, .3, .15, .02, .03]).astype(np.uint8)
        label[0, 0] = 9 if i % 100 == 7 else 0
        cv2.imwrite(str(root / f'set/images/train/{i:04d}.png'), np.full((24, 32), i % 251, np.uint8))
        path = root / f'set/annotations/train/{i:04d}.png'
        data = cv2.imencode('.png', label)[1].tobytes()
        if i % 100 != 3:
            path.write_bytes(data[:150] if i % 100 == 5 else data)
    (root / 'config.py').write_text(CONFIG)
    return root


def tool(work: Path, arguments: list[str]) -> None:
    """Be tools/scan_dataset.py, in a process of its own that needs no time for imports."""
    os.chdir(work)
    sys.stdout = sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
    sys.argv = ['scan_dataset.py', *arguments]
    runpy.run_path(str(ROOT / 'tools/scan_dataset.py'), run_name='__main__')


def start(work: Path, out: str) -> mp.Process:
    arguments = ['config.py', '--out', out, '--workers', '2', '--resume']
    process = mp.get_context('fork').Process(target=tool, args=(work, arguments))
    process.start()
    return process


def contents(work: Path, folder: str) -> tuple[str, bytes]:
    lines = (work / folder / 's.json').read_text().splitlines()
    assert lines[-2].startswith(' "run": ')
    return '\n'.join(lines[:-2]), (work / folder / 's.npz').read_bytes()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for file in Path(f'/proc/{pid}/task').glob('*/children') for child in file.read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='finds child processes in /proc')
def test_killed_twenty_times_at_random_moments(work) -> None:
    whole = start(work, 'whole/s.json')
    begin = time.perf_counter()
    whole.join()
    seconds = time.perf_counter() - begin
    assert whole.exitcode == 3
    rng = np.random.default_rng(1)
    killed = kept = 0
    while killed < KILLS or (kept <= 5 and killed < 5 * KILLS):  # enough kills must leave parts to go on from
        process = start(work, 'killed/s.json')
        process.join(rng.uniform(0, seconds))
        workers = children(process.pid)
        process.kill()
        process.join()
        if process.exitcode == 3:  # done before the kill: its files are whole, and the next one begins anew
            assert contents(work, 'killed') == contents(work, 'whole')
            continue
        killed += 1
        kept += any((work / 'killed/s.json.parts').glob('*.npz'))
        limit = time.monotonic() + 20
        while any(map(alive, workers)):
            assert time.monotonic() < limit, 'workers outlive their parent'
            time.sleep(.005)
    assert kept > 5
    last = start(work, 'killed/s.json')
    last.join()
    assert last.exitcode == 3
    assert contents(work, 'killed') == contents(work, 'whole')
    left = {path.name for path in (work / 'killed').iterdir() if not path.name.startswith('.s.')}
    assert left == {'s.json', 's.npz'}  # and at most what a kill left beside its place


class Stop(Exception):
    pass


@pytest.fixture
def small(tmp_path):
    for i in range(600):
        write_pair(tmp_path, f'{i:03d}', np.full((2, 3), i % 4, np.uint8))
    return tmp_path


def interrupt(reader, store: Store, after: int) -> None:
    def progress(done: int, total: int) -> None:
        if done == after:
            raise Stop

    with pytest.raises(Stop):
        read_files(reader, 0, store=store, progress=progress)


def test_only_what_is_missing_or_changed_is_read(small, tmp_path_factory) -> None:
    from mmimb.scan.reader import Reader
    folder = tmp_path_factory.mktemp('out')
    whole = write_report(finish(read_files(Reader(build(leaf(small))), 0)), folder / 'whole/s.json')
    reader = Reader(build(leaf(small)))
    store = Store(folder / 's.parts', reader.manifest)
    interrupt(reader, store, 580)
    read, original = [], reader.read
    reader.read = lambda start, stop: (read.append((start, stop)), original(start, stop))[1]
    seen = []
    part = read_files(reader, 0, store=store, progress=lambda done, total: seen.append((done, total)))
    assert min(start for start, _ in read) >= 512
    assert seen[-1] == (600, 600)
    again = write_report(finish(part), folder / 'again/s.json')
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in whole]
    read.clear()
    write_pair(small, '300', np.full((2, 3), 3, np.uint8))  # in the second of three files
    part = read_files(reader, 0, store=store)
    assert any(start <= 300 < stop for start, stop in read)
    assert all(start >= 256 for start, _ in read)
    assert dense(finish(part).per_image, 4)[300].tolist() == [0, 0, 0, 6]
    damaged = next(iter(store.folder.iterdir()))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert finish(read_files(reader, 0, store=store)).stats == finish(part).stats
    (store.folder / '.000000256.npz.77.tmp').write_bytes(b'half')
    store.clear()
    assert not store.folder.exists()


def test_another_scan_is_not_gone_on_with(small, tmp_path_factory) -> None:
    from mmimb.scan.reader import Reader
    folder = tmp_path_factory.mktemp('out') / 's.parts'
    first, other = (Reader(build(leaf(small, reduce_zero_label=reduce))) for reduce in (False, True))
    interrupt(first, Store(folder, first.manifest), 300)
    with pytest.raises(ValueError, match=r'`resume` must go on with the same files and settings, got .* of another scan'):
        read_files(other, 0, store=Store(folder, other.manifest))


def test_a_killed_worker_is_told(small) -> None:
    from mmimb.scan.reader import Reader
    reader, original = Reader(build(leaf(small))), None
    original = reader.read

    def read(start: int, stop: int):
        if start <= 400 < stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(start, stop)

    reader.read = read
    with pytest.raises(ChildProcessError, match=r'a worker process must stay alive, got one that ended with status -9'):
        read_files(reader, 2)
    assert mp.active_children() == []
