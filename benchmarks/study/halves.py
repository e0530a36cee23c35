#!/usr/bin/env python
"""Do tuned offsets hold on units that they were not tuned on? Tuned on a random half of dev's units, scored on the other half.

  python benchmarks/study/halves.py --data DATA --work-dir WORK --dataset camvid --seed 10 [--arms ce ce-if0.5] [--halves 20]

Appends to results/halves.csv: for each arm the mean gain in mIoU over the halves, as trained against as tuned, its standard
deviation, and how often nothing was changed.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np
import torch
import torch.nn.functional as F
from features import Features
from record import machine
from scoring import predictions
from sets import SETS, data_root
from store import Job, append_row, read_rows, read_stats
from tune import load_head

from mmimb.analysis.offsets import tune
from mmimb.analysis.score_sample import budget_per_image, pool, sample_image

PIXELS = 100_000  # of dev: there are many tunings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='folder of the datasets; default: the environment variable MMIMB_STUDY_DATA')
    parser.add_argument('--work-dir', type=Path, required=True, help='of run.py')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='default: %(default)s')
    parser.add_argument('--dataset', required=True, choices=SETS)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--arms', nargs='*', help='default: all that have a run of this seed')
    parser.add_argument('--halves', type=int, default=20, help='default: %(default)s')
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    data, path = data_root(args.data), args.results / 'halves.csv'
    found = sorted(p.parts[-3] for p in args.work_dir.glob(f'runs/frozen-half/{args.dataset}/*/{args.seed}/run.json'))
    done = {(r['dataset'], r['arm'], r['seed']) for r in read_rows(path)}
    for arm in args.arms or found:
        if (args.dataset, arm, str(args.seed)) in done:
            continue
        gains, same = arm_gains(Job(args.dataset, arm, args.seed), args.work_dir, data, args.halves)
        append_row(path, {'dataset': args.dataset, 'arm': arm, 'seed': args.seed, 'halves': len(gains),
                          'gain': f'{np.mean(gains):.3f}', 'sd': f'{np.std(gains, ddof=1):.3f}', 'unchanged': same,
                          **machine()})
        print(f'{args.dataset} {arm}: {np.mean(gains):+.2f} points of mIoU, unchanged {same} of {len(gains)} times', flush=True)
    return 0


def arm_gains(job: Job, work: Path, data: Path, halves: int) -> tuple[list[float], int]:
    """Return the gain on the other half for each random half, and how often the offsets were all 0."""
    base = work / job.size / job.dataset
    stats, dev = read_stats(base / 'stats.json'), Features(base / 'dev')
    head, units = load_head(job, work, stats), SETS[job.dataset].units(dev.meta['stems'], data)
    budget = budget_per_image(len(dev), PIXELS)
    images = [sample_image(F.interpolate(z[None], y.shape, mode='bilinear', align_corners=False)[0], y, budget=budget)
              for z, y in predictions(head, dev)]
    names, gains, same = sorted(set(units)), [], 0
    for number in range(halves):
        chosen = set(np.random.default_rng(number).permutation(names)[:len(names) // 2])
        part = [[k for k, unit in enumerate(units) if (unit in chosen) is side] for side in (True, False)]
        sample = pool([images[k] for k in part[0]], len(stats['pixels']), [units[k] for k in part[0]])
        found = tune(sample, 'mIoU', shares=stats['pixels'])
        same += not found.changed
        rest = [images[k] for k in part[1]]
        gains.append(mean_iou(rest, found.offsets) - mean_iou(rest, np.zeros_like(found.offsets)))
    return gains, same


def mean_iou(images: Sequence[dict[str, np.ndarray]], offsets: np.ndarray) -> float:
    """Return the mean IoU in percent of sampled images, over the classes that they hold."""
    hits, labelled, predicted = np.zeros((3, len(offsets)))
    for image in images:
        rows = np.arange(len(image['label']))
        pred = image['classes'][rows, (image['scores'] + offsets[image['classes']]).argmax(1)]
        labelled += np.bincount(image['label'], image['weight'], len(offsets))
        predicted += np.bincount(pred, image['weight'], len(offsets))
        hits += np.bincount(pred, image['weight'] * (pred == image['label']), len(offsets))
    there = labelled > 0
    return float(100 * (hits[there] / (labelled + predicted - hits)[there]).mean())


if __name__ == '__main__':
    sys.exit(main())
