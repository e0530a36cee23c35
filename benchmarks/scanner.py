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
import csv
import json
import multiprocessing as mp
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
SIZE, CLASSES = (1024, 2048), 19
CASES = [(way, processes) for processes in (1, 2) for way in ('decode', 'scan', 'unique')]
COLUMNS = ('what', 'processes', 'images', 'min_s', 'median_s', 'ms_per_image', 'decode_ratio', 'unique_ratio', 'scaling',
           'rounds', 'load', 'cpu', 'cores', 'python', 'opencv', 'pillow', 'commit')


def draw(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a label map of overlapping jagged areas of all sizes."""
    import cv2
    height, width = size
    label = np.zeros(size, np.uint8)
    for _ in range(140):
        corners = int(rng.integers(5, 40))
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = 2 ** rng.uniform(3, 9) * rng.uniform(.5, 1, corners) * height / 1024
        place = rng.uniform(0, width), rng.uniform(0, height)
        points = np.stack([place[0] + radius * np.cos(angle), place[1] + radius * np.sin(angle)], 1).astype(np.int32)
        cv2.fillPoly(label, [points], int(rng.choice([*range(CLASSES), 255])))
    return label


def make_set(root: Path, images: int, size: tuple[int, int] = SIZE) -> None:
    import cv2
    for i in range(images):
        label = draw(np.random.default_rng(i), size)
        city, stem = f'city{i % 9}', f'city{i % 9}_{i:06d}_000019'
        files = {root / f'gtFine/train/{city}/{stem}_gtFine_labelTrainIds.png': label,
                 root / f'leftImg8bit/train/{city}/{stem}_leftImg8bit.png': cv2.applyColorMap(label, cv2.COLORMAP_JET)}
        for path, array in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)


def link_set(root: Path, source: Path, images: int) -> None:
    """Link the files of ``source`` as often as it takes."""
    for part, suffix in (('gtFine', '_gtFine_labelTrainIds.png'), ('leftImg8bit', '_leftImg8bit.png')):
        files = sorted((source / part).rglob('*.png'))
        (root / part / 'train/all').mkdir(parents=True)
        for i in range(images):
            os.symlink(files[i % len(files)], root / part / f'train/all/all_{i:06d}{suffix}')


def reader(root: Path) -> Any:
    """Return the scanner's reader, and the bytes that the process had with mmseg's own list."""
    from mmengine.config import Config

    from mmimb.stats.build import build_split
    from mmimb.stats.reader import Reader
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


def run(way: str, processes: int, root: Path) -> float:
    """Go through the labels and return the seconds; in a fresh process."""
    import cv2
    import PIL.PngImagePlugin  # noqa: F401  (not part of the time)
    cv2.setNumThreads(0)
    if way == 'scan':
        from mmimb.stats.scan import finish, read_files
        work, _ = reader(root)
        start = time.perf_counter()
        finish(read_files(work, 0 if processes == 1 else processes))
        return time.perf_counter() - start
    files = sorted(map(str, (root / 'gtFine').rglob('*.png')))
    loop = {'decode': decode, 'unique': unique}[way]
    start = time.perf_counter()
    if processes == 1:
        loop(files)
    else:
        workers = [mp.get_context('fork').Process(target=loop, args=(files[k::processes], )) for k in range(processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return time.perf_counter() - start


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
    from mmimb.stats.report import write_report
    from mmimb.stats.scan import finish, read_files
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


def about() -> dict[str, Any]:
    import cv2
    import PIL
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=HERE, capture_output=True, text=True).stdout.strip()
    found = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text()) if Path('/proc/cpuinfo').exists() else None
    return {'cpu': found.group(1) if found else platform.processor(), 'cores': len(os.sched_getaffinity(0)), 'commit': commit,
            'python': platform.python_version(), 'opencv': cv2.__version__, 'pillow': PIL.__version__}


def throughput(root: Path, images: int, rounds: int) -> list[dict[str, Any]]:
    make_set(root, images)
    times: dict[Any, list[float]] = {case: [] for case in CASES}
    load = os.getloadavg()[0]
    for turn in range(rounds):
        for case in CASES if turn % 2 == 0 else CASES[::-1]:
            times[case].append(call('--one', case[0], '--processes', str(case[1]), '--root', str(root)))
    best = {case: min(values) for case, values in times.items()}
    rows = []
    for way, processes in CASES:
        row = {'what': way, 'processes': processes, 'images': images, 'min_s': round(best[way, processes], 3),
               'median_s': round(statistics.median(times[way, processes]), 3),
               'ms_per_image': round(1e3 * best[way, processes] / images, 2),
               'decode_ratio': round(best['decode', processes] / best[way, processes], 3),
               'unique_ratio': round(best['unique', processes] / best[way, processes], 2),
               'scaling': round(best[way, 1] / best[way, processes], 3), 'rounds': rounds, 'load': round(load, 2)}
        rows.append(row)
        print(f'{way:8s} {processes} process{"es" if processes > 1 else "  "}  {row["ms_per_image"]:6.2f} ms per image   '
              f'{row["decode_ratio"]:5.2f} x decode   {row["unique_ratio"]:5.2f} x unique   scaling {row["scaling"]:.2f}')
    return rows


def memories(root: Path) -> list[dict[str, Any]]:
    make_set(root / 'small', 300, (64, 128))
    rows = []
    for images in (300, 30_000):
        link_set(root / f'links{images}', root / 'small', images)
        found = call('--memory', '--root', str(root / f'links{images}'))
        print(f'{images:6d} images: parent + {found["parent_mb"]:.1f} MB ({found["parent_bytes"]:.0f} bytes per image), '
              f'worker {found["worker_mb"]:.1f} MB private')
        rows += [{'what': f'parent_mb_over_list_{images}', 'images': images, 'median_s': round(found['parent_mb'], 2)},
                 {'what': f'worker_private_mb_{images}', 'images': images, 'median_s': round(found['worker_mb'], 2)}]
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
    with tempfile.TemporaryDirectory() as folder:
        rows = throughput(Path(folder) / 'set', args.images, args.rounds) + memories(Path(folder))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, **about()} for row in rows)


if __name__ == '__main__':
    main()
