#!/usr/bin/env python
"""Time and memory of every loss on the CPU, relative to ``F.cross_entropy`` on the same tensors.

    python benchmarks/losses.py [--threads 2] [--repeats 7] [--out FILE.csv]

Each loss runs in a fresh process, taking turns with ``F.cross_entropy``: forward and backward on 2 x 19 x 512 x 512 float32
logits, 5 % of the labels ignored. Time is the median, of processor time with one thread and of wall time with more. Memory is
what the peak of the resident set grows by, in multiples of the logits (gradient included). The table in docs/losses.md is
rewritten from the result.
"""
from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from record import HERE, machine, replace_table, write_csv

SHAPE = (2, 19, 512, 512)
BASELINE = 'F.cross_entropy'


def measure(name: str, threads: int, repeats: int) -> dict[str, float]:
    """Run in the process of one loss: median milliseconds, those of the baseline, and extra peak megabytes."""
    import torch
    import torch.nn.functional as F

    from mmimb.testing import Subject
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    logits = torch.randn(SHAPE, requires_grad=True)
    target = torch.randint(0, SHAPE[1], (SHAPE[0], *SHAPE[2:]))
    target[torch.rand(target.shape) < 0.05] = 255

    def baseline(z: Any, y: Any) -> Any:
        return F.cross_entropy(z, y, ignore_index=255)

    loss = baseline if name == BASELINE else Subject.of_type(f'mmimb.{name}', SHAPE[1]).build()
    small = logits[:, :, :8, :8].detach().clone().requires_grad_()
    loss(small, target[:, :8, :8]).backward()  # what a first call loads is not the loss's memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock = time.thread_time if threads == 1 else time.perf_counter
    times: list[tuple[float, float]] = []
    for turn in range(repeats + 1):
        taken = []
        for function in (loss, baseline):
            logits.grad = None
            start = clock()
            function(logits, target).backward()
            taken.append(1e3 * (clock() - start))
            if turn == 0 and function is loss:
                extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        times.append((taken[0], taken[1]))
    own, other = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return {'ms': own, 'baseline_ms': other, 'extra_mb': extra}


def registered() -> list[str]:
    from mmimb.registry import MODELS
    MODELS.import_from_location()
    return sorted(name for name in MODELS.module_dict if name.endswith('Loss') and not name.startswith('Query'))


def run_all(threads: int, repeats: int) -> list[dict[str, Any]]:
    about = {'threads': threads, **machine()}
    logits_mb = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2] * SHAPE[3] / 2**20
    rows: list[dict[str, Any]] = []
    for name in [BASELINE, *registered()]:
        command = [sys.executable, __file__, '--one', name, '--threads', str(threads), '--repeats', str(repeats)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        rows.append({'loss': name, 'ms': round(result['ms'], 1), 'time_ratio': round(result['ms'] / result['baseline_ms'], 1),
                     'extra_mb': round(result['extra_mb']), 'memory_ratio': round(result['extra_mb'] / logits_mb, 1), **about})
        print(f'{name:28s} {result["ms"]:8.1f} ms  {rows[-1]["time_ratio"]:5.1f} x   {rows[-1]["memory_ratio"]:4.1f} logits')
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--out', type=Path, default=HERE / 'results/losses_cpu.csv')
    parser.add_argument('--one', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.threads, args.repeats)))
        return
    rows = run_all(args.threads, args.repeats)
    write_csv(args.out, rows)
    replace_table('losses.md', ['loss', 'time', 'extra memory (logits = 1)'],
                  [[row['loss'], f'{row["time_ratio"]} ×', row['memory_ratio']] for row in rows])


if __name__ == '__main__':
    main()
