"""Comparing results: numbers, sentences, table, CSV and figure."""
from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest
from rich.console import Console

from mmimb.analysis import csv_text, draw, load_runs, tables, verdict
from mmimb.analysis.plot import bar_chart

CLASSES = ['road', 'sky', 'car', 'pole', 'bike', 'sign']
GROUPS = {'head': ['sky', 'road'], 'medium': ['car', 'pole'], 'tail': ['sign', 'bike']}


def result(iou, groups=GROUPS, classes=CLASSES, seed=0, **changes):
    """What tools/test.py writes for the IoU of every class; None leaves a class out."""
    measured = {c: value for c, value in zip(classes, iou, strict=True) if value is not None}
    metrics = {'mIoU': np.mean([*measured.values()]), 'mAcc': 50.0, 'aAcc': 90.0}
    for name, members in groups.items():
        values = [measured[c] for c in members if c in measured]
        metrics[f'mIoU_{name}'] = np.mean(values) if values else None
    for kind, factor in (('IoU', 1), ('Acc', 0.5), ('Precision', 0.25)):
        metrics.update({f'{kind}.{c}': factor * value for c, value in measured.items()})
    metrics = {key: value if value is None else round(float(value), 2) for key, value in metrics.items()}
    return {'metrics': metrics, 'classes': list(classes), 'groups': groups, 'seed': seed, 'config': 'c.py',
            'checkpoint': None, **changes}


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def runs_of(tmp_path, **named):
    """``name=[result, ...]``: one file per result."""
    named = {name: [{**r, 'checkpoint': r['checkpoint'] or f'{name}{i}.pth'} for i, r in enumerate(results)]
             for name, results in named.items()}
    return load_runs([f'{name}=' + ','.join(write(tmp_path / f'{name}{i}.json', r) for i, r in enumerate(results))
                      for name, results in named.items()])


def text_of(runs):
    console = Console(width=300, file=io.StringIO(), record=True)
    for table in tables(runs):
        console.print(table)
    return console.export_text()


def cells(text, first):
    return next([c.strip() for c in line.split('│')[1:-1]] for line in text.splitlines() if line.startswith(f'│ {first} '))


CE = [90, 80, 60, 40, 0, 10]
MSE = [88, 80, 62, 39, 8, 20]
SECOND = [89, 81, 61, 41, 0, 13]
THIRD = [91, 79, 59, 39, 3, 7]


def test_means_and_sample_std(tmp_path):
    run, = runs_of(tmp_path, ce=[result(CE), result(SECOND, seed=1), result(THIRD, seed=2)])
    assert run.seeds == (0, 1, 2)
    for c, values in zip(CLASSES, np.array([CE, SECOND, THIRD], float).T, strict=True):
        assert run.mean(f'IoU.{c}') == pytest.approx(values.mean())
        assert run.std(f'IoU.{c}') == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 2))
    assert math.isnan(run.std('nothing'))
    assert math.isnan(run.mean('nothing'))


def test_tables_of_single_seeds(tmp_path):
    text = text_of(runs_of(tmp_path, ce=[result(CE)], mse=[result(MSE)]))
    assert '±' not in text
    assert cells(text, 'mIoU') == ['mIoU', '46.67', '49.50', '+2.83']
    assert cells(text, 'mIoU_tail') == ['mIoU_tail', '5.00', '14.00', '+9.00']
    assert cells(text, 'mIoU_head') == ['mIoU_head', '85.00', '84.00', '-1.00']
    assert cells(text, 'seeds') == ['seeds', '1', '1', '']
    assert cells(text, 'bike') == ['bike', 'tail', '0.00', '8.00', '+8.00']
    assert cells(text, 'sky') == ['sky', 'head', '80.00', '80.00', '0.00']
    order = [text.index(f'│ {c} ') for members in GROUPS.values() for c in members]
    assert order == sorted(order)


def test_tables_of_several_seeds(tmp_path):
    text = text_of(runs_of(tmp_path, ce=[result(CE), result(SECOND, seed=1)], mse=[result(MSE)]))
    assert cells(text, 'sign') == ['sign', 'tail', '11.50 ± 2.12', '20.00', '+8.50']
    assert cells(text, 'seeds') == ['seeds', '2', '1', '']


def test_verdict_of_single_seeds(tmp_path):
    line, = verdict(runs_of(tmp_path, ce=[result(CE)], mse=[result(MSE)]))
    assert line == ('mse against ce: IoU is higher on 3 of 6 classes (sign +10.00, bike +8.00, car +2.00), lower on 2 '
                    '(road -2.00, pole -1.00), equal on 1. Overall it is better: mIoU 49.50 against 46.67 (+2.83). On the tail '
                    'classes it is better: mIoU 14.00 against 5.00 (+9.00). One seed proves nothing (mse and ce): the same '
                    'training with another seed may turn this round.')
    line, = verdict(runs_of(tmp_path, mse=[result(MSE)], ce=[result(CE), result(SECOND, seed=1)]))
    assert 'Overall it is worse' in line
    assert 'On the tail classes it is worse' in line
    assert 'One seed proves nothing (mse)' in line


def test_one_checkpoint_tested_in_two_ways_needs_no_second_seed(tmp_path):
    line, = verdict(runs_of(tmp_path, ce=[result(CE, checkpoint='c.pth')], tuned=[result(MSE, checkpoint='c.pth')]))
    assert line.endswith('Both tested the same checkpoint: only how they were tested differs; another training may gain more '
                         'or less.')
    assert 'seed' not in line
    named = [result(row, seed=i, checkpoint=f'{i}.pth') for i, row in enumerate((CE, SECOND))]
    line, = verdict(runs_of(tmp_path, ce=named, tuned=named[::-1]))
    assert 'the same checkpoints:' in line


def test_verdict_weighs_the_difference_against_the_spread(tmp_path):
    near = [result([value + 1 for value in row], seed=i) for i, row in enumerate((CE, THIRD))]
    far = [result([min(value + 9, 100) for value in row], seed=i) for i, row in enumerate((CE, THIRD))]
    lines = verdict(runs_of(tmp_path, ce=[result(CE), result(SECOND, seed=1)], near=near, far=far))
    spread = math.hypot(np.std([46.67, 47.5], ddof=1), np.std([47.67, 47.33], ddof=1))
    assert re.search(rf'The difference in the mIoU \(\+0.4[12]\) is within the spread of the seeds \(± {spread:.2f}\)',
                     lines[0])
    assert re.search(r'The difference in the mIoU \(\+8.4[12]\) is larger than the spread', lines[1])
    spread = np.std([5, 6.5], ddof=1)  # the tail of near and far has the same mean in both seeds
    assert f'the difference in the tail mIoU (+0.25) is within the spread of the seeds (± {spread:.2f})' in lines[0]
    assert f'the difference in the tail mIoU (+8.25) is larger than the spread of the seeds (± {spread:.2f})' in lines[1]
    assert '2 and 2 seeds: a rough guide, not a significance test' in lines[1]


def test_verdict_notes(tmp_path):
    other = [*CE[:-1], None]
    lines = verdict(runs_of(tmp_path, ce=[result(CE), result(SECOND)], mse=[result(other)]))
    assert 'files of ce have the same seed' in lines[1]
    assert 'sign counts in ce and not in mse' in lines[2]
    assert 'of 5 classes' in lines[0]
    line, = verdict(runs_of(tmp_path, ce=[result(CE)]))
    assert line.startswith('ce is alone')


def test_undefined_values(tmp_path):
    """A tail without a measured class is null; a class may be unmeasured; neither breaks a table or a sentence."""
    no_tail = [result([90, 80, 60, 40, None, None])]
    runs = runs_of(tmp_path, ce=no_tail, mse=[result(MSE), result([*MSE[:4], None, 20], seed=1)])
    text = text_of(runs)
    assert cells(text, 'mIoU_tail') == ['mIoU_tail', '-', '17.00 ± 4.24', '-']
    assert cells(text, 'bike') == ['bike', 'tail', '-', '8.00 (1 of 2)', '-']
    assert 'The tail classes were not measured in both.' in verdict(runs)[0]
    assert draw(runs).startswith(b'\x89PNG')


def test_without_groups(tmp_path):
    runs = runs_of(tmp_path, ce=[result(CE, groups={})], mse=[result(MSE, groups={})])
    assert 'mIoU_tail' not in text_of(runs)
    assert 'No group of tail classes is known.' in verdict(runs)[0]
    assert [t.get_text() for t in bar_chart(runs).axes[0].get_xticklabels()] == CLASSES


def test_csv(tmp_path):
    runs = runs_of(tmp_path, ce=[result(CE), result(SECOND, seed=1)], mse=[result(MSE)])
    rows = list(csv.DictReader(io.StringIO(csv_text(runs))))
    assert len(rows) == 2 * (3 + 3 + 3 * 6)
    row = next(r for r in rows if r['run'] == 'ce' and r['metric'] == 'IoU' and r['class'] == 'sign')
    assert row == {'run': 'ce', 'metric': 'IoU', 'class': 'sign', 'group': 'tail', 'mean': '11.5000', 'std': '2.1213', 'n': '2',
                   'difference to ce': '0.0000'}
    row = next(r for r in rows if r['run'] == 'mse' and r['metric'] == 'mIoU_tail')
    assert (row['mean'], row['std'], row['n'], row['difference to ce']) == ('14.0000', '', '1', '8.2500')


@pytest.mark.parametrize('number', [2, 19, 50, 51, 150])
@pytest.mark.parametrize('seeds', [1, 2])
def test_figure(tmp_path, number, seeds):
    classes = [f'class {c}' for c in range(number)]
    groups = {'head': classes[::-1][:number // 2], 'tail': classes[::-1][number // 2:]}
    named = {name: [result(np.linspace(1, top, number), groups, classes, seed=s) for s in range(seeds)]
             for name, top in (('ce', 60), ('_$mse$', 90))}
    figure = bar_chart(runs_of(tmp_path, **named))
    assert len(figure.axes) == math.ceil(number / 50)
    ticks = [t.get_text() for ax in figure.axes for t in ax.get_xticklabels()]
    assert ticks == classes[::-1]
    heights = [[bar.get_height() for ax in figure.axes for bar in ax.containers[i].patches]
               for i in ([0, 1] if seeds == 1 else [0, 2])]
    np.testing.assert_allclose(heights[0], np.linspace(1, 60, number)[::-1], atol=0.005)
    np.testing.assert_allclose(heights[1], np.linspace(1, 90, number)[::-1], atol=0.005)
    assert len(figure.legends[0].get_texts()) == 2
    words = {t.get_text() for ax in figure.axes for t in ax.texts}
    assert {'head', 'tail'} <= words
