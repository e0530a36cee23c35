#!/usr/bin/env python
"""Make the tables of the study from its results files: one Markdown table for each dataset, and results/summary.csv.

  python benchmarks/study/tables.py                # prints them
  python benchmarks/study/tables.py --doc FILE     # and puts them between the marks of a Markdown file
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np
from record import write_csv
from store import read_rows

from mmimb.analysis.paired import Interval, over_seeds

REFERENCE = ('ce', 'argmax')
BEGIN, END = '<!-- study:begin -->', '<!-- study:end -->'
NAMES = {'camvid': 'CamVid', 'magnetic_tile': 'Magnetic tile', 'ccp': 'Clothing Co-Parsing'}
KEYS = ('mIoU', 'tail', 'tail_precision', 'mAcc')
Key = tuple[str, str]
Way = tuple[str, str, str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='default: %(default)s')
    parser.add_argument('--doc', type=Path, help='Markdown file with the marks study:begin and study:end')
    args = parser.parse_args()
    summary, parts = [], []
    boot = read_bootstrap(args.results)
    for path in sorted(args.results.glob('[fs]*_*.csv')):  # frozen_<dataset>, scratch_<dataset>
        rows = read_rows(path)
        for stage, split in (('confirm', 'test'), ('screen', 'dev')):
            chosen = [r for r in rows if r['stage'] == stage and r.get(f'{split}_mIoU')]
            if not chosen:
                continue
            found = summarise(chosen, split, boot)
            summary += [{'file': path.stem, 'stage': stage, 'split': split, **row} for row in found]
            parts.append(f'**{title(chosen[0], stage, split)}**\n\n{markdown(found)}')
    text = '\n\n'.join(parts)
    print(text)
    if summary:
        write_csv(args.results / 'summary.csv', summary)
    if args.doc:
        old = args.doc.read_text(encoding='utf-8')
        marked = f'{BEGIN}\n{text}\n{END}'
        args.doc.write_text(re.sub(f'{BEGIN}.*{END}', lambda _: marked, old, flags=re.S), encoding='utf-8')
    return 0


def read_bootstrap(results: Path) -> dict[Way, dict[str, str]]:
    """Return the lines of bootstrap.csv by regime, dataset, arm and decision."""
    return {(r['regime'], r['dataset'], r['arm'], r['decision']): r for r in read_rows(results / 'bootstrap.csv')}


def title(row: Mapping[str, str], stage: str, split: str) -> str:
    """Return what a table shows."""
    regime = {'frozen': 'frozen encoder', 'scratch': 'from scratch'}[row['regime']]
    return f"{NAMES[row['dataset']]}, {regime}, {'confirmation' if stage == 'confirm' else 'screening'}, {split}"


def summarise(rows: Iterable[Mapping[str, str]], split: str, boot: Mapping[Way, Mapping[str, str]]) -> list[dict[str, str]]:
    """Return a line for each arm and decision: seeds, means, standard deviations, and differences from cross-entropy."""
    found: dict[Key, dict[int, Mapping[str, str]]] = {}
    for row in rows:
        found.setdefault((row['arm'], row['decision']), {})[int(row['seed'])] = row
    reference = found.get(REFERENCE, {})
    lines = []
    for (arm, decision), runs in found.items():
        first = next(iter(runs.values()))
        line = {'dataset': first['dataset'], 'arm': arm, 'decision': decision, 'seeds': str(len(runs))}
        for key in KEYS:
            values = [float(r[f'{split}_{key}']) for r in runs.values()]
            line[key] = f'{np.mean(values):.1f}'
            line[f'{key}_sd'] = f'{np.std(values, ddof=1):.1f}' if len(values) > 1 else ''
        for key in ('mIoU', 'tail'):
            gain = Interval(np.nan, np.nan, np.nan) if (arm, decision) == REFERENCE else over_seeds(
                *({s: float(r[f'{split}_{key}']) for s, r in group.items()} for group in (runs, reference)))
            line[f'{key}_gain'] = str(gain)
            same = boot.get((first['regime'], first['dataset'], arm, decision)) if split == 'test' else None
            line[f'{key}_verdict'] = verdict(gain, same, key)
        seconds = [float(r['train_seconds']) for r in runs.values() if r.get('train_seconds')]
        lines.append({**line, 'train_seconds': f'{np.median(seconds):.0f}' if seconds else ''})
    return sorted(lines, key=lambda x: ((x['arm'], x['decision']) != REFERENCE, -float(x['mIoU'])))


def verdict(gain: Interval, boot: Mapping[str, str] | None, key: str) -> str:
    """Return ``better`` or ``worse`` where the interval over seeds and that over the units of test agree; else nothing."""
    if np.isnan(gain.low):
        return ''
    sides = [(gain.low, gain.high)]
    if boot is not None:
        sides.append((float(boot[f'{key}_low']), float(boot[f'{key}_high'])))
    if all(low > 0 for low, _ in sides):
        return 'better' if boot is not None else 'better over seeds'
    if all(high < 0 for _, high in sides):
        return 'worse' if boot is not None else 'worse over seeds'
    return ''


def markdown(lines: Sequence[Mapping[str, str]]) -> str:
    """Return a Markdown table."""
    head = ['arm', 'decision', 'seeds', 'mIoU', 'against CE', 'tail', 'against CE', 'precision of the tail', 'mAcc']
    cells = [[x['arm'], x['decision'], x['seeds'], _pm(x, 'mIoU'), _gain(x, 'mIoU'), _pm(x, 'tail'), _gain(x, 'tail'),
              x['tail_precision'], x['mAcc']] for x in lines]
    return '\n'.join('|' + '|'.join(f' {c} ' for c in row) + '|' for row in [head, ['---'] * len(head), *cells])


def _pm(line: Mapping[str, str], key: str) -> str:
    return line[key] + (f" ± {line[f'{key}_sd']}" if line[f'{key}_sd'] else '')


def _gain(line: Mapping[str, str], key: str) -> str:
    mark = {'better': ' **better**', 'worse': ' worse'}.get(line[f'{key}_verdict'], '')
    return line[f'{key}_gain'] + mark


if __name__ == '__main__':
    sys.exit(main())
