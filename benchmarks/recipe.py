#!/usr/bin/env python
"""Bring the study's figures to where users meet the recipe: mmimb/report/evidence.json (the scanner), README.md and
docs/measured.md.

  python benchmarks/recipe.py                        # after new lines in benchmarks/study/results
  python benchmarks/recipe.py --reports WORK/half    # also counts of the datasets: DATASET/stats.json, as the study has them
"""
# ruff: noqa: E402  (the folders of the study and of the repository come first)
from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / 'study'), str(HERE), str(ROOT)]

import numpy as np
from store import read_rows
from tables import NAMES, REFERENCE, Way, read_bootstrap, summarise

from mmimb.analysis.paired import over_seeds
from mmimb.stats import ClassStats
from mmimb.stats.imbalance import derive

EVIDENCE = ROOT / 'mmimb/report/evidence.json'
BEGIN, END = '<!-- recipe:begin -->', '<!-- recipe:end -->'
RECIPE = ('ce-if0.5', 'tuned-mIoU')
WAYS = {  # arm and decision, as the tables call them
    REFERENCE: 'cross-entropy',
    ('ce', 'offsets-mIoU'): 'cross-entropy, tuned',
    ('ce-if0.5', 'argmax'): 'root weights',
    RECIPE: '**root weights, tuned**',
    ('ce-if0.5', 'prior-0.25'): 'root weights, half taken back, not tuned',
    ('ce-if0.25', 'argmax'): 'weights of half that size',
    ('ce-effective', 'argmax'): '`EffectiveNumber` weights',
    ('ce-effective', 'half-weights'): '`EffectiveNumber` weights, half taken back, not tuned',
    ('ce-dice0.5', 'argmax'): 'cross-entropy and Dice, half each',
    ('ce-if0.5-dice0.5', 'argmax'): 'the same, with root weights on cross-entropy',
    ('ce-lovasz0.5', 'argmax'): 'cross-entropy and Lovász, half each',
    ('la0.5', 'argmax'): '`LogitAdjustmentLoss(tau=0.5)`',
    ('difficulty-cap10', 'argmax'): '`DifficultyBalanced` weights',
    ('difficulty-cap10', 'half-weights'): '`DifficultyBalanced` weights, half taken back, not tuned',
    ('mse', 'argmax'): '`OutlyingMSELoss`',
    ('mse-ce0.5', 'argmax'): '`OutlyingMSELoss` and cross-entropy, half each',
}
PLACES = {ROOT / 'README.md': (REFERENCE, ('ce-if0.5', 'argmax'), RECIPE, ('ce-if0.5', 'prior-0.25')),
          ROOT / 'docs/measured.md': tuple(WAYS)}
DECISIONS = {'argmax': '', 'prior-0.25': ', TAU -0.25', 'half-weights': ', half of the weights taken back'}
SUGGESTED = {  # arm and decision without tuning: what a suggestion may name where it was better than the recipe
    ('ce-effective', 'half-weights'):
        'mmimb.EffectiveNumber weights in the place of root weights, half of them taken back, which is where the tuning starts',
    ('ce-dice0.5', 'argmax'): 'mmimb.CrossEntropyLoss and mmimb.DiceLoss, half each (loss_weight=0.5), without weights',
}
LEAST_SEEDS = 5
Row = Mapping[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--results', type=Path, default=HERE / 'study/results', help='default: %(default)s')
    parser.add_argument('--reports', type=Path, metavar='DIR', help='reports of the scanner on the fit splits')
    args = parser.parse_args()
    facts = read_facts(args.reports) if args.reports else json.loads(EVIDENCE.read_text(encoding='utf-8'))['datasets']
    rows = {name: test_rows(args.results, name) for name in NAMES}
    datasets = {name: {**{key: facts[name][key] for key in ('title', 'classes', 'ratio')}, **evidence(rows[name])}
                for name in NAMES}
    content = {'arm': RECIPE[0], 'datasets': datasets}
    EVIDENCE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    boot = read_bootstrap(args.results)
    for path, ways in PLACES.items():
        text = table(rows, boot, ways)
        old = path.read_text(encoding='utf-8')
        new = re.sub(f'{BEGIN}.*{END}', lambda _, text=text: f'{BEGIN}\n{text}\n{END}', old, flags=re.S)
        path.write_text(new, encoding='utf-8')
    print(text)
    return 0


def read_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Return name, number of classes and imbalance ratio of the datasets from their reports."""
    facts = {}
    for name, title in NAMES.items():
        stats = ClassStats.load(folder / name / 'stats.json')
        facts[name] = {'title': title, 'classes': stats.num_classes, 'ratio': round(derive(stats).ratio, 1)}
    return facts


def test_rows(results: Path, name: str) -> list[Row]:
    """Return the confirming runs of a dataset with a frozen encoder, which have test scores."""
    return [row for row in read_rows(results / f'frozen_{name}.csv') if row['stage'] == 'confirm' and row.get('test_mIoU')]


def evidence(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the recipe against cross-entropy over the seeds that both have: what evidence.json says of a dataset.

    While fewer runs are tuned than trained, it is the training half of the recipe that is told, with the decision ``argmax``.
    """
    runs = {way: {int(r['seed']): r for r in rows if (r['arm'], r['decision']) == way}
            for way in (REFERENCE, (RECIPE[0], 'argmax'), RECIPE)}
    reference = runs.pop(REFERENCE)
    way = max(reversed(runs), key=lambda way: len(set(runs[way]) & set(reference)))
    seeds = sorted(set(runs[way]) & set(reference))
    found = {'decision': way[1], 'seeds': seeds, **_changes(runs[way], reference, seeds)}
    return {**found, 'higher': higher(rows, reference, runs[way])} if seeds else found


def higher(rows: Sequence[Row], reference: Mapping[int, Row], recipe: Mapping[int, Row]) -> dict[str, Any] | None:
    """Return the way of training with the highest mIoU, if the interval of its difference from the recipe lies above 0.

    Without tuning, and with five paired seeds or more; as :func:`evidence`, against cross-entropy.
    """
    best: dict[str, Any] | None = None
    gain = 0.0
    for way, words in SUGGESTED.items():
        runs = {int(r['seed']): r for r in rows if (r['arm'], r['decision']) == way}
        seeds = sorted(set(runs) & set(reference) & set(recipe))
        scores = [{s: float(run[s]['test_mIoU']) for s in seeds} for run in (runs, recipe)]
        more = over_seeds(*scores) if len(seeds) >= LEAST_SEEDS else None
        if more is not None and more.low > 0 and more.mean > gain:
            gain = more.mean
            best = {'arm': way[0], 'decision': way[1], 'way': words, 'seeds': seeds, **_changes(runs, reference, seeds)}
    return best


def _changes(runs: Mapping[int, Row], reference: Mapping[int, Row], seeds: Sequence[int]) -> dict[str, Any]:
    """Return mIoU and tail before and after, with the interval of the difference over seeds."""
    found = {}
    for key in ('mIoU', 'tail') if seeds else ():
        before, after = ({s: float(run[s][f'test_{key}']) for s in seeds} for run in (reference, runs))
        gain = over_seeds(after, before)
        bounds = [None if np.isnan(x) else round(x, 2) for x in (gain.low, gain.high)]
        found[key] = {'before': round(np.mean(list(before.values())), 2), 'after': round(np.mean(list(after.values())), 2),
                      'low': bounds[0], 'high': bounds[1]}
    return found


def table(rows: Mapping[str, Sequence[Row]], boot: Mapping[Way, Row],
          ways: Sequence[tuple[str, str]] = tuple(WAYS)) -> str:
    """Return a table: ways by datasets, cross-entropy in percent, the others as differences from it."""
    lines = {name: {(x['arm'], x['decision']): x for x in summarise(rows[name], 'test', boot)} for name in NAMES}
    head, second = ['trained and decided', 'arm'], []
    for name, title in NAMES.items():
        seeds = lines[name][REFERENCE]['seeds'] if REFERENCE in lines[name] else '0'
        head += [f'{title} (n = {seeds}): mIoU', 'tail']
    for arm, decision in ways:
        cells = [WAYS[arm, decision], f'`{arm}`' + DECISIONS.get(decision, ' + offsets')]
        for name in NAMES:
            cells += _cells(lines[name].get((arm, decision)), lines[name].get(REFERENCE))
        second.append(cells)
    return '\n'.join(f'| {" | ".join(row)} |' for row in [head, ['---'] * len(head), *second])


def _cells(line: Row | None, reference: Row | None) -> list[str]:
    if line is None or reference is None:
        return ['–', '–']
    cells = []
    for key in ('mIoU', 'tail'):
        if line is reference:
            cells.append(line[key] + (f' ± {line[f"{key}_sd"]}' if line[f'{key}_sd'] else ''))
            continue
        gain = re.sub(r' \(\+?nan.*', '', line[f'{key}_gain'])
        gain = f'**{gain}**' if line[f'{key}_verdict'] == 'better' else gain
        cells.append(gain + (f', n = {line["seeds"]}' if line['seeds'] != reference['seeds'] else ''))
    return cells


if __name__ == '__main__':
    sys.exit(main())
