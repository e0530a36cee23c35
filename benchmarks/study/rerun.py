#!/usr/bin/env python
"""Run one line of the results again and compare; from scratch, encoder included, in a new work folder.

  python benchmarks/study/rerun.py --data DATA --work-dir NEW --dataset camvid --arm ce-if0.5 --seed 10

NEW is a folder without this run; features that are there are used. On the machine and versions of the line the figures are
equal; elsewhere rounding differs, and training magnifies it: --tolerance is in percent points of mIoU and of the tail.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import torch
from run import run_job
from sets import data_root
from store import Job, read_rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='folder of the datasets; default: the environment variable MMIMB_STUDY_DATA')
    parser.add_argument('--work-dir', type=Path, required=True, help='for features and the run, outside the repository')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='default: %(default)s')
    parser.add_argument('--dataset', required=True)
    parser.add_argument('--arm', required=True)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--tolerance', type=float, default=1.0, help='in percent points; default: %(default)s')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    args = parser.parse_args()
    old = wanted_row(args.results, args.dataset, args.arm, args.seed)
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    job = Job(args.dataset, args.arm, args.seed, old['stage'], old['size'])
    if job.done(args.work_dir):
        parser.error(f'--work-dir must be a folder without this run, got {args.work_dir}')
    job.folder(args.work_dir).mkdir(parents=True, exist_ok=True)
    run_job(job, data_root(args.data), args.work_dir, args.work_dir, args.device)
    new = wanted_row(args.work_dir, args.dataset, args.arm, args.seed)
    worst = 0.0
    for key in ('dev_mIoU', 'dev_tail', 'test_mIoU', 'test_tail'):
        if old[key]:
            worst = max(worst, abs(float(new[key]) - float(old[key])))
            print(f'{key}: {old[key]} at {old["commit"]}, {new[key]} now')
    print(f'largest difference {worst:.3f} points, tolerance {args.tolerance}')
    return 0 if worst <= args.tolerance else 1


def wanted_row(results: Path, dataset: str, arm: str, seed: int) -> dict[str, str]:
    """Return the line of a run without offsets.

    Raises:
        ValueError: There is none.
    """
    for row in read_rows(results / f'frozen_{dataset}.csv'):
        if (row['arm'], row['seed'], row['decision']) == (arm, str(seed), 'argmax'):
            return row
    raise ValueError(f'`--arm` and `--seed` must be a line of frozen_{dataset}.csv, got {arm!r} and {seed}')


if __name__ == '__main__':
    sys.exit(main())
