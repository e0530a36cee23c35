#!/usr/bin/env python
"""Tune decision offsets on dev for every run that has none yet, and score them: on dev, and on test where the run has test.

  python benchmarks/study/tune.py --data DATA --work-dir WORK [--objective mIoU]
  python benchmarks/study/tune.py --data DATA --work-dir WORK --way half-weights --arms ce-if0.5     # without tuning

Nothing is trained again: heads and features are read from WORK. Each run gets another line in the results files, whose
``decision`` names the objective, and ``offsets-<decision>.json`` in its folder.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np
import torch
import torch.nn.functional as F
from arms import ARMS
from features import Features, ensure_stats
from frozen import Schedule, build_head, head_losses
from scoring import count_all, figures, predictions
from sets import SETS, data_root, tail_classes
from store import META, Job, append_row, claimed, result_row, write_json
from torch import nn

from mmimb.analysis.offsets import half_of_weights, tune
from mmimb.analysis.score_sample import ScoreSample, budget_per_image, pool, sample_image
from mmimb.engine.decision import class_weights_of

PIXELS = 200_000  # of dev, on which offsets are tuned


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='folder of the datasets; default: the environment variable MMIMB_STUDY_DATA')
    parser.add_argument('--work-dir', type=Path, required=True, help='of run.py')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='default: %(default)s')
    parser.add_argument('--way', choices=('tuned', 'offsets', 'half-weights'), default='tuned', help='tuned: as '
                        'tools/tune_offsets.py does, from half of the class weights taken back, if the arm has some; offsets: '
                        'the same from nothing; half-weights: no tuning; default: %(default)s')
    parser.add_argument('--objective', default='mIoU', help='what is maximised on dev; default: %(default)s')
    parser.add_argument('--prior', type=float, metavar='P', help='no tuning, whatever --way is: add '
                        'P * log(share of the class in training)')
    parser.add_argument('--datasets', nargs='*', choices=SETS, default=list(SETS), help='default: all')
    parser.add_argument('--arms', nargs='*', choices=ARMS, default=list(ARMS), help='default: all')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--watch', action='store_true', help='wait for further runs when all are tuned')
    return parser.parse_args()


def load_head(job: Job, work: Path, stats: dict) -> nn.Module:
    """Return the trained head of a run."""
    head = build_head(ARMS[job.arm], stats, Schedule(**SETS[job.dataset].schedule), job.seed)
    head.load_state_dict(torch.load(job.folder(work) / 'head.pth', weights_only=True), strict=False)
    return head.eval()


def dev_sample(head: nn.Module, features: Features, units: list[str], classes: int, path: Path, device: str) -> ScoreSample:
    """Return the sampled scores of dev at the size of the labels, kept in ``path`` for further tunings."""
    if path.is_file():
        with np.load(path) as kept:
            return ScoreSample(**{k: kept[k] if kept[k].ndim else int(kept[k]) for k in kept})
    budget = budget_per_image(len(features), PIXELS)
    images = [sample_image(F.interpolate(z[None], y.shape, mode='bilinear', align_corners=False)[0], y.cpu(), budget=budget)
              for z, y in predictions(head, features, device)]
    sample = pool(images, classes, units)
    np.savez(path, **{k: getattr(sample, k) for k in ScoreSample.__dataclass_fields__})
    return sample


def prior_offsets(pixels: Sequence[int], power: float) -> np.ndarray:
    """Return ``power * log(share)`` of each class, in float64; one that does not occur has the smallest share that does."""
    counts = np.asarray(pixels, np.float64)
    return power * np.log(np.where(counts > 0, counts, counts[counts > 0].min()) / counts.sum())


def class_weights(head: nn.Module, saved: Path) -> list[float] | None:
    """Return the class weights that a run ended with: those of its file, or the fixed ones of its loss; None without any."""
    if saved.is_file():
        values: list[float] = json.loads(saved.read_text(encoding='utf-8'))
        return values
    return class_weights_of(head_losses(head))


def tune_job(job: Job, data: Path, args: argparse.Namespace, name: str) -> str:
    """Find the offsets of one run and write its line; return what was found."""
    folder, base = job.folder(args.work_dir), args.work_dir / job.size / job.dataset
    stats = ensure_stats(SETS[job.dataset], data, base / 'stats.json')
    classes, meta = stats['classes'], json.loads((folder / 'run.json').read_text(encoding='utf-8'))
    tail = [classes.index(c) for c in tail_classes(job.dataset)]
    head = load_head(job, args.work_dir, stats).to(args.device)
    parts = {split: Features(base / split) for split in ('dev', 'test')}
    kept, said = {}, 'fixed'
    weights = class_weights(head, folder / 'weights.json')
    half = None if weights is None else half_of_weights(weights)
    if args.prior is not None:
        offsets = prior_offsets(stats['pixels'], args.prior)
    elif args.way == 'half-weights':
        offsets = np.zeros(len(classes)) if half is None else half - half.mean()
    else:
        units = SETS[job.dataset].units(parts['dev'].meta['stems'], data)
        sample = dev_sample(head, parts['dev'], units, len(classes), folder / 'dev-sample.npz', args.device)
        found = tune(sample, args.objective, tail=tail, shares=stats['pixels'], start=half if args.way == 'tuned' else None)
        offsets, said = found.offsets, (f'{found.family}, expected gain on dev {found.gain:.2f} ({found.interval[0]:.2f} to '
                                        f'{found.interval[1]:.2f})')
        kept = {'family': found.family, 'tau': found.tau, 'strength': found.strength, 'gain': found.gain,
                'interval': found.interval, 'before': found.before, 'after': found.after,
                'candidates': [[c.name, c.gain, *c.interval] for c in found.candidates]}
    scored = {}
    for split in ('dev', 'test') if (folder / 'test.npz').is_file() else ('dev', ):
        counts = count_all(head, parts[split], len(classes), args.device, torch.from_numpy(offsets))
        np.savez_compressed(folder / f'{split}-{name}.npz', counts=counts)
        scored[split] = figures(counts, tail)
    meta = {k: v for k, v in meta.items() if k in META}
    append_row(args.results / f'{job.regime}_{job.dataset}.csv', result_row(job, name, meta, classes, scored))
    write_json(folder / f'offsets-{name}.json', {'offsets': offsets.tolist(), **kept})
    return said


def main() -> int:
    args = parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    data = data_root(args.data)
    name = args.way if args.way == 'half-weights' else f'{args.way}-{args.objective}'
    name = name if args.prior is None else f'prior-{args.prior:g}'
    while True:
        for path in sorted(args.work_dir.glob('runs/*/*/*/*/run.json'), key=lambda p: p.stat().st_mtime):
            saved = json.loads(path.read_text(encoding='utf-8'))
            job = Job(**{k: saved[k] for k in Job.__dataclass_fields__})
            with claimed(path.parent) as mine:
                wanted = job.dataset in args.datasets and job.arm in args.arms
                if not mine or not wanted or (path.parent / f'offsets-{name}.json').is_file():
                    continue
                said = tune_job(job, data, args, name)
                print(f'{time.strftime("%H:%M:%S")} {job.dataset} {job.arm} seed {job.seed}: {said}', flush=True)
        if not args.watch:
            return 0
        time.sleep(30)


if __name__ == '__main__':
    sys.exit(main())
