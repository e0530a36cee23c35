#!/usr/bin/env python
"""Put the runs of from_scratch.sh into the results: a line for each run and decision, and counts per image for bootstrap.py.

  python benchmarks/study/collect_scratch.py work_dirs/study_scratch --work-dir WORK

Makes results/scratch_camvid.csv anew of all runs that are scored so far.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import mmseg
import numpy as np
from record import machine
from scoring import figures
from sets import tail_classes
from store import Job, append_row, result_row

from mmimb.stats import EvaluatedCounts

ARM_OF = {'ce': 'ce', 'ce-root': 'ce-if0.5', 'outlying-mse': 'mse'}  # setups of from_scratch.sh as arms of arms.py
DECISIONS = {'': 'argmax', '.tuned': 'tuned-mIoU'}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=Path, help='what from_scratch.sh wrote')
    parser.add_argument('--work-dir', type=Path, required=True, help='of run.py')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='default: %(default)s')
    parser.add_argument('--commit', help='of the checkout that trained them; default: that of this one')
    args = parser.parse_args()
    meta = {**machine(), **({'commit': args.commit} if args.commit else {}), 'mmseg': mmseg.__version__}
    rows = [row for path in sorted(args.runs.glob('*.test.tuned.json')) for row in rows_of(path, args.work_dir, meta)]
    file = args.results / 'scratch_camvid.csv'
    file.unlink(missing_ok=True)
    for row in rows:
        append_row(file, row)
    print(f'{len(rows)} lines in {file}')
    return 0


def rows_of(last: Path, work: Path, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of the run whose last file is given, and keep its counts."""
    run = last.name.removesuffix('.test.tuned.json')
    setup, _, seed = run.rpartition('-')
    job = Job('camvid', ARM_OF[setup], int(seed), 'confirm', regime='scratch')
    iterations, seconds = training(last.with_name(run))
    meta = {**meta, 'iterations': iterations, 'train_seconds': f'{seconds:.1f}'}
    folder = job.folder(work)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for suffix, decision in DECISIONS.items():
        found = {}
        for split in ('dev', 'test'):
            report = last.with_name(f'{run}.{split}{suffix}.json')
            classes = json.loads(report.read_text(encoding='utf-8'))['classes']
            read = EvaluatedCounts.load(report)
            counts = read.dense(len(classes)).swapaxes(0, 1)
            np.savez_compressed(folder / f'{split}{"-" + decision if suffix else ""}.npz', counts=counts,
                                stems=[Path(name).stem for name in read.files])
            found[split] = figures(counts, [classes.index(name) for name in tail_classes(job.dataset)])
        rows.append(result_row(job, decision, meta, classes, found))
    return rows


def training(folder: Path) -> tuple[int, float]:
    """Return the iterations of a run, and how long they took, from its logs: the means of 20 iterations each."""
    told: dict[int, float] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in map(json.loads, path.read_text(encoding='utf-8').splitlines()):
            told.update({line['step']: line['time']} if 'lr' in line else {})
    return max(told), float(np.mean(list(told.values())) * max(told))


if __name__ == '__main__':
    sys.exit(main())
