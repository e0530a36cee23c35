"""Comparing results: pairs, numbers, sentences, tables, CSV and figure."""
from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest
from rich.console import Console
from scipy import stats as scipy_stats

from mmimb.analysis import compare_runs, csv_text, draw, latex, load, markdown, rich_table, tables, verdict
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
    return load([f'{name}=' + ','.join(write(tmp_path / f'{name}{i}.json', r) for i, r in enumerate(results))
                 for name, results in named.items()]).runs


def text_of(runs):
    console = Console(width=300, file=io.StringIO(), record=True)
    for grid in tables(runs, compare_runs(runs)):
        console.print(rich_table(grid))
    return console.export_text()


def sentences(runs):
    return verdict(runs, compare_runs(runs))


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
    assert cells(text, 'seeds') == ['seeds', '1', '1', '1 pair']
    assert cells(text, 'mean precision') == ['mean precision', '11.67', '12.38', '+0.71']
    assert cells(text, 'recall of the tail') == ['recall of the tail', '2.50', '7.00', '+4.50']
    assert cells(text, 'bike') == ['bike', 'tail', '0.00', '8.00', '+8.00', '+4.00', '+2.00']
    assert cells(text, 'sky') == ['sky', 'head', '80.00', '80.00', '0.00', '0.00', '0.00']
    order = [text.index(f'│ {c} ') for members in GROUPS.values() for c in members]
    assert order == sorted(order)


def test_tables_of_several_seeds(tmp_path):
    text = text_of(runs_of(tmp_path, ce=[result(CE), result(SECOND, seed=1)], mse=[result(MSE)]))
    assert cells(text, 'sign') == ['sign', 'tail', '11.50 ± 2.12', '20.00', '+10.00', '+5.00', '+2.50']
    assert cells(text, 'seeds') == ['seeds', '2', '1', '1 pair']


def test_verdict_of_single_seeds(tmp_path):
    line, = sentences(runs_of(tmp_path, ce=[result(CE)], mse=[result(MSE)]))
    assert line == ('mse against ce: IoU is higher on 3 of 6 classes (sign +10.00, bike +8.00, car +2.00), lower on 2 '
                    '(road -2.00, pole -1.00), equal on 1. Overall, mIoU is higher: 49.50 against 46.67 (+2.83). On the '
                    'tail classes it is higher: 14.00 against 5.00 (+9.00). One seed proves nothing (mse and ce): the same '
                    'training with another seed may turn this round.')
    line, note = sentences(runs_of(tmp_path, mse=[result(MSE)], ce=[result(CE), result(SECOND, seed=1)]))
    assert note == 'Note: seed 1 of ce has no partner in mse, and has no part in the differences.'
    assert 'Overall, mIoU is lower' in line
    assert 'On the tail classes it is lower' in line
    assert 'One seed proves nothing (mse)' in line


def test_one_checkpoint_tested_in_two_ways_needs_no_second_seed(tmp_path):
    line, = sentences(runs_of(tmp_path, ce=[result(CE, checkpoint='c.pth')], tuned=[result(MSE, checkpoint='c.pth')]))
    assert line.endswith('Both tested the same checkpoint: only how they were tested differs; another training may gain more '
                         'or less.')
    assert 'seed' not in line
    named = [result(row, seed=i, checkpoint=f'{i}.pth') for i, row in enumerate((CE, SECOND))]
    line, = sentences(runs_of(tmp_path, ce=named, tuned=named[::-1]))
    assert 'the same checkpoints:' in line


def seeds_of(rows, first=0):
    return [result(row, seed=first + i) for i, row in enumerate(rows)]


def test_differences_are_of_pairs_with_students_interval(tmp_path):
    better = [[min(v + d, 100) for v in row] for row, d in zip((CE, SECOND, THIRD), (4, 5, 6), strict=True)]
    runs = runs_of(tmp_path, ce=seeds_of((CE, SECOND, THIRD)), mse=seeds_of(better)[::-1])
    comparison, = compare_runs(runs)
    assert comparison.by == 'seed'
    assert comparison.seeds == [0, 1, 2]
    for c, base, other in zip(CLASSES, np.array([CE, SECOND, THIRD], float).T, np.array(better, float).T, strict=True):
        expected = scipy_stats.ttest_rel(other, base).confidence_interval(0.95)
        assert comparison.gain(f'IoU.{c}') == pytest.approx(((other - base).mean(), expected.low, expected.high))
    text = text_of(runs)
    assert cells(text, 'seeds')[-1] == '3 pairs'
    assert cells(text, 'car') == ['car', 'medium', '60.00 ± 1.00', '65.00 ± 1.00', '+5.00 (+2.52 to +7.48)', '+2.50', '+1.25']
    assert cells(text, '1') == ['1', '47.50', '52.50', '+5.00', '6.50', '11.50', '+5.00']
    line, = sentences(runs)
    assert 'Over 3 pairs of seeds, with 95 % intervals: mIoU +5.00 (+2.52 to +7.48), better; tail +5.00 (+2.52 to +7.48), ' \
           'better.' in line
    undecided = sentences(runs_of(tmp_path, ce=seeds_of((CE, SECOND, THIRD)), other=seeds_of((SECOND, THIRD, CE))))[0]
    assert re.search(r'mIoU 0.00 \(-\S+ to \+\S+\), undecided', undecided)


def test_seeds_without_a_partner_are_named_and_left_out(tmp_path):
    runs = runs_of(tmp_path, ce=seeds_of((CE, SECOND, THIRD)), mse=seeds_of((MSE, MSE), first=2))
    comparison, = compare_runs(runs)
    assert comparison.seeds == [2]
    assert comparison.gain('IoU.sign').mean == 20 - 7
    assert comparison.means('IoU.sign') == (20, 7)
    lines = sentences(runs)
    assert 'One seed proves nothing (in common)' in lines[0]
    assert 'Note: seed 3 of mse has no partner in ce, and has no part in the differences.' in lines
    assert 'Note: seeds 0, 1 of ce have no partner in mse, and have no part in the differences.' in lines


def test_without_a_common_seed_there_is_no_interval(tmp_path):
    runs = runs_of(tmp_path, ce=seeds_of((CE, SECOND)), mse=seeds_of((MSE, MSE), first=5))
    comparison, = compare_runs(runs)
    assert comparison.gain('IoU.sign') == pytest.approx((20 - 11.5, math.nan, math.nan), nan_ok=True)
    assert 'no seed in common' in sentences(runs)[0]
    assert cells(text_of(runs), 'seeds')[-1] == 'not paired'


def test_one_model_tested_in_two_ways_is_paired_by_its_checkpoint(tmp_path):
    first, second = (seeds_of((a, b)) for a, b in ((CE, SECOND), (MSE, THIRD)))
    named = {'argmax': first, 'tuned': second[::-1]}
    for results in named.values():
        for entry in results:
            entry.update(checkpoint=f'{entry["seed"]}.pth', seed=None)
    comparison, = compare_runs(runs_of(tmp_path, **named))
    assert comparison.by == 'checkpoint'
    assert comparison.pairs == ((0, 1), (1, 0))


def test_a_class_that_is_never_predicted_has_no_precision_in_the_mean(tmp_path):
    """It counts as 0, as long as it is labelled."""
    rows = result(CE)
    rows['metrics']['Precision.bike'] = None
    rows['metrics'].update({'Precision.sign': None, 'Acc.sign': None})
    run, = runs_of(tmp_path, ce=[rows])
    assert run.mean('mPrecision') == pytest.approx(np.mean([22.5, 20, 15, 10, 0]))
    assert run.mean('mPrecision_tail') == 0
    assert math.isnan(run.mean('Precision.bike'))


def test_markdown_and_latex(tmp_path):
    runs = runs_of(tmp_path, ce=seeds_of((CE, SECOND, THIRD)), **{'a_b|c & d': seeds_of([[v + 1 for v in r] for r in
                                                                                          (CE, SECOND, THIRD)])})
    grids = tables(runs, compare_runs(runs))
    text = markdown(grids[1])
    rows = [line for line in text.splitlines() if line.startswith('|')]
    assert len(rows) == 2 + len(CLASSES)
    assert len({len(re.findall(r'(?<!\\)\|', row)) for row in rows}) == 1, 'a bar in a name makes no column'
    assert rows[1] == '| --- | --- | ---: | ---: | ---: | ---: | ---: |'
    assert next(r for r in rows if r.startswith('| car')).endswith(
        '| 61.00 ± 1.00 | **+1.00 (+1.00 to +1.00)** | **+0.50** | **+0.25** |')
    assert [grid.title.split(' ')[0] for grid in grids] == ['Means', 'IoU', 'Recall', 'Precision', 'Pairs']
    assert [grid.detail for grid in grids] == [False, False, True, True, False]
    assert '| car | 15.00 ± 0.25 | 15.25 ± 0.25 | **+0.25 (+0.25 to +0.25)** |' in markdown(grids[3])
    tex = latex(grids[1])
    assert r'a\_b|c \& d' in tex
    assert r'car & medium & 60.00 $\pm$ 1.00 & 61.00 $\pm$ 1.00 & \textbf{$+1.00$ ($+1.00$ to $+1.00$)} & ' in tex
    assert tex.count('&') == 6 * (1 + len(CLASSES)) + 1, 'columns, and one in the name'
    assert tex.count(r'\midrule') == 3


def test_verdict_notes(tmp_path):
    other = [*CE[:-1], None]
    lines = sentences(runs_of(tmp_path, ce=[result(CE), result(SECOND)], mse=[result(other)]))
    assert 'files of ce have the same seed' in lines[1]
    assert 'sign counts in ce and not in mse' in lines[2]
    assert 'of 5 classes' in lines[0]
    line, = sentences(runs_of(tmp_path, ce=[result(CE)]))
    assert line.startswith('ce is alone')


def test_undefined_values(tmp_path):
    """A tail without a measured class is null; a class may be unmeasured; neither breaks a table or a sentence."""
    no_tail = [result([90, 80, 60, 40, None, None])]
    runs = runs_of(tmp_path, ce=no_tail, mse=[result(MSE), result([*MSE[:4], None, 20], seed=1)])
    text = text_of(runs)
    assert cells(text, 'mIoU_tail') == ['mIoU_tail', '-', '17.00 ± 4.24', '-']
    assert cells(text, 'bike') == ['bike', 'tail', '-', '8.00 (1 of 2)', '-', '-', '-']
    assert 'The tail classes were not measured in both.' in sentences(runs)[0]
    assert draw(runs).startswith(b'\x89PNG')


def test_without_groups(tmp_path):
    runs = runs_of(tmp_path, ce=[result(CE, groups={})], mse=[result(MSE, groups={})])
    assert 'mIoU_tail' not in text_of(runs)
    assert 'No group of tail classes is known.' in sentences(runs)[0]
    assert [t.get_text() for t in bar_chart(runs).axes[0].get_xticklabels()] == CLASSES


BOUNDS = ('low over seeds', 'high over seeds', 'low over images', 'high over images')


def test_csv(tmp_path):
    runs = runs_of(tmp_path, ce=[result(CE), result(SECOND, seed=1)], mse=[result(MSE)])
    rows = list(csv.DictReader(io.StringIO(csv_text(runs, compare_runs(runs)))))
    assert len(rows) == 2 * (4 + 3 * 3 + 3 * 6)
    row = next(r for r in rows if r['run'] == 'ce' and r['metric'] == 'IoU' and r['class'] == 'sign')
    assert row == {'run': 'ce', 'metric': 'IoU', 'class': 'sign', 'group': 'tail', 'mean': '11.5000', 'std': '2.1213', 'n': '2',
                   'difference to ce': '0.0000', 'pairs': '', **dict.fromkeys(BOUNDS, '')}
    row = next(r for r in rows if r['run'] == 'mse' and r['metric'] == 'mIoU_tail')
    assert (row['mean'], row['std'], row['n'], row['difference to ce']) == ('14.0000', '', '1', '9.0000')
    assert (row['pairs'], *(row[key] for key in BOUNDS)) == ('1', '', '', '', '')


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


@pytest.mark.parametrize('number', [6, 60])
def test_the_figure_has_the_differences_with_their_intervals(tmp_path, number):
    classes = [f'class {c}' for c in range(number)]
    groups = {'head': classes[:number // 2], 'tail': classes[number // 2:]}
    rng = np.random.default_rng(0)
    base, gain = rng.uniform(20, 60, (3, number)), rng.uniform(-5, 20, (3, number))
    runs = runs_of(tmp_path, ce=[result(row, groups, classes, seed=s) for s, row in enumerate(base)],
                   mse=[result(row, groups, classes, seed=s) for s, row in enumerate(base + gain)])
    figure = bar_chart(runs, compare_runs(runs))
    below = figure.axes[1::2]
    assert len(below) == math.ceil(number / 50)
    points = [line.get_ydata()[0] for ax in below for line in ax.lines if line.get_marker() == 'o']
    np.testing.assert_allclose(points, gain.mean(0), atol=0.01)
    bars = np.array([line.get_ydata() for ax in below for line in ax.lines if line.get_linewidth() == 2])
    expected = scipy_stats.ttest_1samp(gain, 0).confidence_interval(0.95)
    np.testing.assert_allclose(bars, np.stack(expected, 1), atol=0.03)
    assert all('95 % over seeds' in ax.get_ylabel() for ax in below)
    assert sum(len(ax.texts) for ax in below) == (number if number == 6 else 0), 'values where there is room'
    assert all(ax.get_ylim()[0] <= min(0, *points) for ax in below)
    assert all(ax.get_ylim()[1] >= max(points) for ax in below)
    assert draw(runs, compare_runs(runs), kind='svg').lstrip().startswith(b'<?xml')
