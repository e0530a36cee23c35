#!/usr/bin/env python
"""Time and memory of losses, heads and predictions from low-resolution logits: stock (interpolate first), strips, kernels.

    python benchmarks/upsampling.py                                  # on a GPU if there is one, otherwise on the CPU
    python benchmarks/upsampling.py --device cpu --shapes ade20k-2 cityscapes --threads 1 --losses all
    python benchmarks/upsampling.py --steps segformer-b0 upernet-r50 --shapes
    python benchmarks/upsampling.py --what head predict --threads 2

The stock path of cross-entropy is F.interpolate and F.cross_entropy(ignore_index), that of another loss F.interpolate and the
same loss; `compiled` is the stock path under torch.compile. `--what head` is `loss_by_feat` of a decode head, `acc_seg`
included, and its backward; `--what predict` a segmentor's prediction from logits to class maps, and with `evaluate-` the
counting of the metric; stock is mmseg's own head, prediction and metric (see upsampling_whole.py).

The paths of a row take turns in one process; times are quantiles.
Memory is what the peak grows by during forward and backward, the gradient of the logits included, in a fresh process per path.
Writes results/upsampling_DEVICE.csv (rows of the same device, shape, loss and threads are replaced) and draws
docs/upsampling.png from all of results/upsampling_*.csv (with --out only that file is written).
"""
from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import machine, write_csv
from upsampling_paths import SHAPES, STEPS, measure_memory, measure_times
from upsampling_whole import HEADS, PREDICTIONS

HERE = Path(__file__).resolve().parent
ALL = ('CrossEntropyLoss', 'FocalLoss', 'ComplementCrossEntropyLoss', 'LDAMLoss', 'ELMLoss', 'LogitAdjustmentLoss', 'VSLoss',
       'OutlyingMSELoss', 'BinaryCrossEntropyLoss', 'FocalLoss-sigmoid', 'DistributionBalancedLoss')
COLUMNS = ('device', 'threads', 'clock', 'shape', 'loss', 'path', 'phase', 'p20_ms', 'p50_ms', 'p80_ms', 'speedup', 'extra_mb',
           'less_memory', 'load', 'torch', 'triton', 'commit')


def about(device: str, threads: int) -> dict[str, Any]:
    """Return what a row says of the machine and the versions."""
    try:
        import triton
        kernels = triton.__version__
    except ImportError:
        kernels = ''
    return {**machine(device), 'threads': threads, 'triton': kernels}


def child(**task: Any) -> Any:
    """Run a measurement in a fresh process."""
    command = [sys.executable, __file__, '--task', json.dumps(task)]
    env = {**os.environ, 'OMP_NUM_THREADS': str(task['threads'])}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f'{task}: {(done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]}')
    return json.loads(done.stdout.splitlines()[-1])


def rows_of(task: dict[str, Any], paths: list[str]) -> list[dict[str, Any]]:
    """Measure one shape and loss: all paths, but for those that fail, such as for want of memory."""
    memory = {}
    for path in paths:
        try:
            memory[path] = child(what='memory', path=path, **task)
        except RuntimeError as error:
            if path == 'stock':
                raise
            print(f'{task["shape"]:14s} {task["loss"]:28s} {path:9s} left out: {error}', flush=True)
    rows = []
    for path, phases in child(what='times', paths=list(memory), **task).items():
        for phase, quantiles in phases.items():
            if task['shape'] in PREDICTIONS and phase != 'both':  # there is no backward
                continue
            rows.append({'shape': task['shape'], 'loss': task['loss'], 'path': path, 'phase': phase, **quantiles,
                         'extra_mb': round(memory[path], 1) if phase == 'both' else '', 'load': round(os.getloadavg()[0], 1)})
    stock = {row['phase']: row for row in rows if row['path'] == 'stock'}
    for row in rows:
        row['speedup'] = round(stock[row['phase']]['p50_ms'] / row['p50_ms'], 2)
        row['less_memory'] = round(stock['both']['extra_mb'] / max(row['extra_mb'], 0.1), 1) if row['phase'] == 'both' else ''
        if row['phase'] == 'both':
            print(f'{row["shape"]:14s} {row["loss"]:28s} {row["path"]:9s} {row["p50_ms"]:9.2f} ms {row["speedup"]:6.2f} x  '
                  f'{row["extra_mb"]:8.1f} MB {row["less_memory"]:6.1f} x', flush=True)
    return rows


def save(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows over those that they measure anew."""
    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in ('device', 'threads', 'clock', 'shape', 'loss'))

    old: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline='', encoding='utf-8') as file:
            old = list(csv.DictReader(file))
    new = {key(row) for row in rows}
    kept = [row for row in old if key(row) not in new] + rows
    write_csv(path, [{name: row[name] for name in COLUMNS} for row in kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    parser.add_argument('--what', nargs='+', choices=('loss', 'head', 'predict'), default=['loss'])
    parser.add_argument('--shapes', nargs='*', choices=[*SHAPES, *HEADS, *PREDICTIONS],
                        help='of what is measured; default: all, but two of the losses on the CPU')
    parser.add_argument('--steps', nargs='*', choices=STEPS, default=[], help='whole training steps of a network')
    parser.add_argument('--losses', nargs='*', default=['CrossEntropyLoss'], help=f'of {", ".join(ALL)}; or all')
    parser.add_argument('--compile', action='store_true', help='torch.compile of the stock path on the CPU too')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--clock', choices=('wall', 'cpu'), default='wall',
                        help='cpu: the time the process computed, for one thread on a machine that others use')
    parser.add_argument('--out', type=Path)
    parser.add_argument('--task', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        task = json.loads(args.task)
        print(json.dumps({'memory': measure_memory, 'times': measure_times}[task.pop('what')](**task)))
        return
    import torch
    device = ('cuda' if torch.cuda.is_available() else 'cpu') if args.device == 'auto' else args.device
    cuda = device == 'cuda'
    ours = ['strip', *(['fused'] if cuda else [])]
    compiled = ['compiled'] if cuda or args.compile else []
    wanted = args.shapes if args.shapes is not None else [
        *(s for s in SHAPES if cuda or s in ('ade20k-2', 'cityscapes')), *HEADS, *PREDICTIONS]
    jobs = []
    if 'loss' in args.what:
        losses = ALL if args.losses == ['all'] else args.losses
        jobs += [(shape, loss, ['stock', *compiled, *ours]) for shape in wanted if shape in SHAPES for loss in losses]
        jobs += [(step, 'CrossEntropyLoss', ['stock', *compiled, *ours]) for step in args.steps]
    if 'head' in args.what:
        jobs += [(shape, 'CrossEntropyLoss', ['stock', *ours]) for shape in wanted if shape in HEADS]
    if 'predict' in args.what:
        jobs += [(shape, 'class map', ['stock', 'low-memory']) for shape in wanted if shape in PREDICTIONS]
    origin = about(device, args.threads)
    out = args.out or HERE / f'results/upsampling_{device}.csv'
    for shape, loss, paths in jobs:
        task = {'shape': shape, 'loss': loss, 'device': device, 'threads': args.threads, 'repeats': args.repeats,
                'clock': args.clock}
        save([{**row, **origin, 'clock': args.clock} for row in rows_of(task, paths)], out)
    if args.out is None:
        subprocess.run([sys.executable, str(HERE / 'upsampling_chart.py')], check=True)


if __name__ == '__main__':
    main()
