#!/usr/bin/env python
"""How fast the scanner is, and how much memory it takes.

    python benchmarks/scanner.py [--rounds 5] [--images 300] [--out FILE.csv]

A set in the layout of Cityscapes is made in a temporary folder: 2048 x 1024 labels of 19 classes with jagged outlines. Three
ways to go through its labels run in fresh processes, one after the other in every round: a busy machine is busy for all.

* decode: ``cv2.imdecode`` of the file's bytes and nothing else,
* scan: the scanner, with counts, audit, image headers and content hashes,
* unique: ``np.unique(Image.open(file))`` in a loop, the script that everybody writes.

The time is that of going through the files, without imports and without listing the dataset. Memory is measured on small
labels, 300 and 30,000 (links to 300 files): what the process grows by over mmseg's own list, and a worker's private memory.
"""
from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import HERE, machine, write_csv
from scanner_set import link_set, make_set

sys.path.insert(0, str(HERE.parent))
CASES = [(way, processes) for processes in (1, 2) for way in ('decode', 'scan', 'unique')]


def reader(root: Path) -> Any:
    """Return the scanner's reader, and the bytes that the process had with mmseg's own list."""
    from mmengine.config import Config

    from mmimb.scan.build import build_split
    from mmimb.scan.reader import Reader
    dataset = build_split(Config(dict(train_dataloader=dict(dataset=dict(
        type='CityscapesDataset', data_root=str(root), pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'))))))
    before = memory('self')['Rss']
    return Reader(dataset), before


def decode(files: list[str]) -> None:
    import cv2
    for file in files:
        cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)


def unique(files: list[str]) -> None:
    from PIL import Image
    for file in files:
        np.unique(np.array(Image.open(file)), return_counts=True)


def run(way: str, processes: int, root: Path) -> tuple[float, float]:
    """Go through the labels and return the seconds, and those of processors; in a fresh process."""
    import cv2
    import PIL.PngImagePlugin  # noqa: F401  (not part of the time)
    cv2.setNumThreads(0)
    if way == 'scan':
        from mmimb.scan.scan import finish, read_files
        work, _ = reader(root)
        start, before = time.perf_counter(), processor_time()
        finish(read_files(work, 0 if processes == 1 else processes))
        return time.perf_counter() - start, processor_time() - before
    files = sorted(map(str, (root / 'gtFine').rglob('*.png')))
    loop = {'decode': decode, 'unique': unique}[way]
    start, before = time.perf_counter(), processor_time()
    if processes == 1:
        loop(files)
    else:
        workers = [mp.get_context('fork').Process(target=loop, args=(files[k::processes], )) for k in range(processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return time.perf_counter() - start, processor_time() - before


def processor_time() -> float:
    """Return the seconds that this process and its finished children have had: what a busy machine changes least."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory(pid: int | str) -> dict[str, int]:
    """Return bytes of a process by the names of Linux's smaps_rollup, and the peak of its resident set."""
    found = {}
    for name in ('smaps_rollup', 'status'):
        path = Path(f'/proc/{pid}/{name}')
        for line in path.read_text().splitlines() if path.exists() else ():
            key, _, rest = line.partition(':')
            if rest.strip().endswith(' kB'):
                found[key] = 1024 * int(rest.split()[0])
    found['Rss'] = found.get('Rss', found.get('VmRSS', 0))
    return found


def run_memory(root: Path) -> dict[str, float]:
    """Return what the parent grows by for each image, and the private memory of the workers at the end."""
    from mmimb.scan.report import write_report
    from mmimb.scan.scan import finish, read_files
    work, before = reader(root)
    private = 0

    def watch(done: int, total: int) -> None:
        nonlocal private
        if done % 200 == 0 or done == total - 64:
            for worker in mp.active_children():
                found = memory(worker.pid)
                private = max(private, found.get('Private_Dirty', 0) + found.get('Private_Clean', 0))
    scan = finish(read_files(work, 2, progress=watch))
    write_report(scan, root / 'out/stats.json')
    return {'parent_bytes': (memory('self')['VmHWM'] - before) / len(work.files), 'worker_mb': private / 2**20,
            'parent_mb': (memory('self')['VmHWM'] - before) / 2**20}


def call(*arguments: str) -> Any:
    command = [sys.executable, __file__, *arguments]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def throughput(root: Path, images: int, rounds: int) -> list[dict[str, Any]]:
    make_set(root, images)
    times: dict[Any, list[list[float]]] = {case: [] for case in CASES}
    load = os.getloadavg()[0]
    for turn in range(rounds):
        for case in CASES if turn % 2 == 0 else CASES[::-1]:
            times[case].append(call('--one', case[0], '--processes', str(case[1]), '--root', str(root)))
    best = {case: min(wall for wall, _ in values) for case, values in times.items()}
    busy = {case: min(processor for _, processor in values) for case, values in times.items()}
    rows = []
    for way, processes in CASES:
        row = {'what': way, 'processes': processes, 'images': images, 'min_s': round(best[way, processes], 3),
               'median_s': round(statistics.median(wall for wall, _ in times[way, processes]), 3),
               'processor_s': round(busy[way, processes], 3),
               'ms_per_image': round(1e3 * best[way, processes] / images, 2),
               'decode_ratio': round(best['decode', processes] / best[way, processes], 3),
               'decode_processor_ratio': round(busy['decode', processes] / busy[way, processes], 3),
               'unique_ratio': round(best['unique', processes] / best[way, processes], 2),
               'scaling': round(best[way, 1] / best[way, processes], 3), 'rounds': rounds, 'load': round(load, 2)}
        rows.append(row)
        print(f'{way:8s} {processes} process{"es" if processes > 1 else "  "}  {row["ms_per_image"]:6.2f} ms per image   '
              f'{row["decode_ratio"]:5.2f} x decode ({row["decode_processor_ratio"]:.2f} by processor time)   '
              f'{row["unique_ratio"]:5.2f} x unique   scaling {row["scaling"]:.2f}')
    return rows


def memories(root: Path) -> list[dict[str, Any]]:
    make_set(root / 'small', 300, (64, 128))
    rows = []
    for images in (300, 30_000):
        link_set(root / f'links{images}', root / 'small', images)
        found = call('--memory', '--root', str(root / f'links{images}'))
        print(f'{images:6d} images: parent + {found["parent_mb"]:.1f} MB ({found["parent_bytes"]:.0f} bytes per image), '
              f'worker {found["worker_mb"]:.1f} MB private')
        rows.append({'images': images, **{name: round(value, 1) for name, value in found.items()}})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--images', type=int, default=300)
    parser.add_argument('--out', type=Path, default=HERE / 'results/scanner.csv')
    parser.add_argument('--one', help=argparse.SUPPRESS)
    parser.add_argument('--memory', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--processes', type=int, help=argparse.SUPPRESS)
    parser.add_argument('--root', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one or args.memory:
        print(json.dumps(run(args.one, args.processes, args.root) if args.one else run_memory(args.root)))
        return
    import cv2
    import PIL
    about = {'cores': len(os.sched_getaffinity(0)), 'opencv': cv2.__version__, 'pillow': PIL.__version__, **machine()}
    with tempfile.TemporaryDirectory() as folder:
        results = {args.out: throughput(Path(folder) / 'set', args.images, args.rounds),
                   args.out.with_stem(f'{args.out.stem}_memory'): memories(Path(folder))}
    for path, rows in results.items():
        write_csv(path, [{**row, **about} for row in rows])


if __name__ == '__main__':
    main()
