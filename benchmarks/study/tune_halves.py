#!/usr/bin/env python
"""Do decision offsets hold on other images? Tuned on half of the dev groups of a run, measured on the other half.

  python benchmarks/study/tune_halves.py --data DATA --work-dir WORK RUN [RUN ...]

RUN is a folder of run.py, WORK/runs/<regime>-<size>/<dataset>/<arm>/<seed>. Writes a line per half into --out: expected and
real gain of the objective in percent points, both 0 where tuning changes nothing. As `mmimb tune`, it starts from half of the
class weights taken back. Where there are no more than --halves ways to halve the groups, each is taken once.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import csv
import itertools
import json
import logging
import sys
from math import comb
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np
import torch
import torch.nn.functional as F
from features import Features, ensure_stats
from scoring import predictions
from sets import SETS, data_root, tail_classes
from store import Job
from tune import class_weights, load_head

from mmimb.analysis.offset_objective import Objective
from mmimb.analysis.offset_search import Contest
from mmimb.analysis.offsets import half_of_weights, tune
from mmimb.analysis.score_sample import pool, sample_image

FIELDS = ('dataset', 'arm', 'seed', 'objective', 'half', 'groups', 'way', 'expected', 'real')
EVERY = 1e9  # span of offsets: no class is left out


def halves(groups: int, number: int) -> list[set[int]]:
    """Return the groups of the first half, ``number`` times at most."""
    size = groups // 2
    if comb(groups, size) <= number:
        return [set(half) for half in itertools.combinations(range(groups), size)]
    rng = np.random.default_rng(0)
    return [set(rng.permutation(groups)[:size].tolist()) for _ in range(number)]


def measure(folder: Path, args: argparse.Namespace) -> list[list]:
    """Return a line per half of the dev groups of a run."""
    saved = json.loads((folder / 'run.json').read_text(encoding='utf-8'))
    job = Job(**{k: saved[k] for k in Job.__dataclass_fields__})
    base, data = args.work_dir / job.size / job.dataset, data_root(args.data)
    stats = ensure_stats(SETS[job.dataset], data, base / 'stats.json')
    classes, dev = stats['classes'], Features(base / 'dev')
    goal = Objective.of(args.objective, [classes.index(c) for c in tail_classes(job.dataset)])
    units = SETS[job.dataset].units(dev.meta['stems'], data)
    number = {name: i for i, name in enumerate(dict.fromkeys(units))}
    group = np.array([number[name] for name in units])
    head = load_head(job, args.work_dir, stats)
    weights = class_weights(head, folder / 'weights.json')
    start = None if weights is None else half_of_weights(weights)
    images = [sample_image(F.interpolate(z[None], y.shape, mode='bilinear', align_corners=False)[0], y, budget=args.pixels)
              for z, y in predictions(head, dev)]
    rows = []
    for k, half in enumerate(halves(len(number), args.halves)):
        here = np.isin(group, list(half))
        first, second = (pool([images[i] for i in np.flatnonzero(part)], len(classes), group[part]) for part in (here, ~here))
        found = tune(first, goal.terms, tail=goal.tail, shares=stats['pixels'], start=start)
        contest = Contest.of(second, EVERY)
        before, after = (goal.value(contest.counts(d).sum()) for d in (np.zeros(len(classes)), found.offsets))
        rows.append([job.dataset, job.arm, job.seed, str(goal), k, len(number), found.family, round(found.gain, 3),
                     round(float(after - before), 3)])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', type=Path, help='folders of runs')
    parser.add_argument('--data', help='folder of the datasets; default: the environment variable MMIMB_STUDY_DATA')
    parser.add_argument('--work-dir', type=Path, required=True, help='of run.py')
    parser.add_argument('--out', type=Path, default=HERE / 'results/tune_halves.csv', help='default: %(default)s')
    parser.add_argument('--objective', default='mIoU', help='default: %(default)s')
    parser.add_argument('--halves', type=int, default=20, help='default: %(default)s')
    parser.add_argument('--pixels', type=int, default=1000, help='sampled of an image; default: %(default)s')
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    for folder in args.runs:
        rows = measure(folder, args)
        new = not args.out.is_file()
        with args.out.open('a', newline='', encoding='utf-8') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerows([FIELDS, *rows] if new else rows)
        expected, real = (np.mean([row[i] for row in rows]) for i in (-2, -1))
        changed = sum(row[-3] != 'none' for row in rows)
        print(f'{rows[0][0]} {rows[0][1]} seed {rows[0][2]}: real gain {real:+.2f}, expected {expected:+.2f}; {len(rows)} '
              f'halves, {changed} with a change', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
