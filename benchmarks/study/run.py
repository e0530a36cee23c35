#!/usr/bin/env python
"""Run the study: every job of a plan that is not done yet, in order. Several processes share the work; each can be stopped.

  python benchmarks/study/run.py --data DATA --work-dir WORK --plan benchmarks/study/plan.json

DATA holds camvid/, magnetic_tile/ and ccp/ as tools/dataset_converters writes them. WORK gets the encoder's features, and for
each run its weights and its counts per image. A line of the results files is written as soon as a run ends.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np
import torch
from arms import ARMS
from features import Features, ensure_features, ensure_stats
from frozen import Schedule, network_state, train
from scoring import count_all, figures
from sets import SETS, data_root, tail_classes
from store import Job, append_row, claimed, read_plan, result_row, write_json

from mmimb.weights import DifficultyBalanced


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='folder of the datasets; default: the environment variable MMIMB_STUDY_DATA')
    parser.add_argument('--work-dir', type=Path, required=True, help='folder for features and runs, outside the repository')
    parser.add_argument('--plan', type=Path, default=HERE / 'plan.json', help='what to run; default: %(default)s')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='folder of the results; default: %(default)s')
    parser.add_argument('--size', choices=('half', 'full'), default='half', help='of CamVid; default: %(default)s')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--threads', type=int, default=1, help='of torch on a CPU; default: %(default)s')
    parser.add_argument('--minutes', type=float, default=float('inf'), help='start no run after this time')
    return parser.parse_args()


def run_job(job: Job, data: Path, work: Path, results: Path, device: str) -> None:
    """Train and score one job; test is read where the stage is ``confirm``."""
    import mmseg
    from record import machine

    study, folder = SETS[job.dataset], job.folder(work)
    base = work / job.size / job.dataset
    stats = ensure_stats(study, data, base / 'stats.json')
    parts = {split: features_of(job, split, data, work, device) for split in ('fit', 'dev', 'test')}
    schedule = Schedule(**study.schedule)
    head, seconds = train(ARMS[job.arm], stats, parts['fit'], schedule, job.seed, study.views, device)
    torch.save(network_state(head), folder / 'head.pth')
    tail = [stats['classes'].index(name) for name in tail_classes(job.dataset)]
    meta = {**machine(device), 'mmseg': mmseg.__version__, 'train_seconds': f'{seconds:.1f}', 'iterations': schedule.iterations}
    found = {}
    for split in ('dev', 'test') if job.stage == 'confirm' else ('dev', ):
        counts = count_all(head, parts[split], len(stats['classes']), device)
        np.savez_compressed(folder / f'{split}.npz', counts=counts)
        found[split] = figures(counts, tail)
    append_row(results / f'{job.regime}_{job.dataset}.csv', result_row(job, 'argmax', meta, stats['classes'], found))
    for module in head.modules():
        if isinstance(module, DifficultyBalanced):  # what it ended with; fixed weights are those of the arm
            write_json(folder / 'weights.json', module.weight.tolist())
    write_json(folder / 'run.json', {**vars(job), **meta})
    dev = found['dev']
    print(f'{time.strftime("%H:%M:%S")} {job.dataset} {job.arm} seed {job.seed}: {seconds:.0f} s, dev mIoU {dev["mIoU"]:.2f}, '
          f'tail {dev["tail"]:.2f}, precision of the tail {dev["tail_precision"]:.1f}', flush=True)


def features_of(job: Job, split: str, data: Path, work: Path, device: str) -> Features:
    """Return the features of a split; one process computes them, others wait."""
    folder = work / job.size / job.dataset / split
    while not (folder / 'meta.json').is_file():
        with claimed(folder) as mine:
            if mine:
                ensure_features(SETS[job.dataset], split, data, folder, job.size, device)
        if not mine:
            time.sleep(5)
    return Features(folder)


def next_job(plan: Path, work: Path, size: str, failed: set[Job]) -> Any:
    """Yield jobs that are not done; the plan is read anew each time, so that it can be changed while the study runs."""
    for job in read_plan(plan):
        job = Job(**{**vars(job), 'size': size})
        if job in failed or job.done(work):
            continue
        with claimed(job.folder(work)) as mine:
            if mine and not job.done(work):
                yield job
                return


def main() -> int:
    args = parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.INFO)  # mmengine tells each initialised layer
    data, begin, failed = data_root(args.data), time.monotonic(), set()
    while time.monotonic() - begin < 60 * args.minutes:
        worked = False
        for job in next_job(args.plan, args.work_dir, args.size, failed):
            worked = True
            try:
                run_job(job, data, args.work_dir, args.results, args.device)
            except Exception as error:  # the others go on
                failed.add(job)
                print(f'{job} failed: {error!r}', file=sys.stderr, flush=True)
        if not worked:
            break
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
