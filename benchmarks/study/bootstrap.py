#!/usr/bin/env python
"""Intervals over the units of test (CamVid: blocks of frames, tiles, photos) of every arm against cross-entropy.

  python benchmarks/study/bootstrap.py --data DATA --work-dir WORK

Reads the counts per image that run.py, tune.py and collect_scratch.py keep in WORK, and writes results/bootstrap.csv.
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np
from features import Features
from record import write_csv
from sets import SETS, data_root, tail_classes
from store import read_stats

from mmimb.analysis.paired import over_units, unit_counts

REFERENCE = ('ce', 'argmax')
REGIMES = ('frozen', 'scratch')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='folder of the datasets; default: the environment variable MMIMB_STUDY_DATA')
    parser.add_argument('--work-dir', type=Path, required=True, help='of run.py')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='default: %(default)s')
    parser.add_argument('--size', choices=('half', 'full'), default='half', help='default: %(default)s')
    args = parser.parse_args()
    rows = [row for regime in REGIMES for name in SETS
            for row in dataset_rows(regime, name, args.work_dir, args.size, data_root(args.data))]
    if rows:
        write_csv(args.results / 'bootstrap.csv', rows)
    return 0


def dataset_rows(regime: str, name: str, work: Path, size: str, data: Path) -> list[dict[str, object]]:
    """Return the rows of a dataset, one for each arm and decision that has a seed in common with cross-entropy."""
    runs = work / 'runs' / f'{regime}-{size}' / name
    if not (runs / REFERENCE[0]).is_dir():
        return []
    base = work / size / name
    units, classes = SETS[name].units(test_stems(runs, base), data), read_stats(base / 'stats.json')['classes']
    tail = [classes.index(c) for c in tail_classes(name)]
    found: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for path in sorted(runs.glob('*/*/test*.npz')):
        decision = path.stem.removeprefix('test').removeprefix('-') or 'argmax'
        found.setdefault((path.parts[-3], decision), {})[int(path.parts[-2])] = unit_counts(np.load(path)['counts'], units)
    rows = []
    for (arm, decision), counts in found.items():
        seeds = sorted(set(counts) & set(found.get(REFERENCE, {})))
        if not seeds or (arm, decision) == REFERENCE:
            continue
        row: dict[str, object] = {'regime': regime, 'dataset': name, 'size': size, 'arm': arm, 'decision': decision,
                                  'seeds': len(seeds), 'units': len(set(units))}
        pairs = ((counts[s], found[REFERENCE][s]) for s in seeds)
        for key, gain in over_units(pairs, {'mIoU': ('IoU', range(len(classes))), 'tail': ('IoU', tail)}).items():
            row.update({key: f'{gain.mean:.3f}', f'{key}_low': f'{gain.low:.3f}', f'{key}_high': f'{gain.high:.3f}'})
        rows.append(row)
    return rows


def test_stems(runs: Path, base: Path) -> list[str]:
    """Return the names of the test images, in the order of their counts: those of the features, or as they were kept."""
    kept = next(runs.glob(f'{REFERENCE[0]}/*/test.npz'))
    with np.load(kept) as file:
        stems: list[str] = file['stems'].tolist() if 'stems' in file else Features(base / 'test').meta['stems']
    return stems


if __name__ == '__main__':
    sys.exit(main())
