"""Intervals over the images, from counts as ``mmimb test --out`` keeps them."""
from __future__ import annotations

import json

import numpy as np
import pytest
from test_compare import sentences, text_of

from mmimb.analysis import compare_runs, load, markdown, tables
from mmimb.commands import main as commands
from mmimb.stats import EvaluatedCounts
from mmimb.stats.npz import digest, pack

CLASSES, GROUPS = ['road', 'car', 'sign'], {'head': ['road'], 'medium': ['car'], 'tail': ['sign']}
IMAGES = 16
LABELLED = np.random.default_rng(0).integers(20, 60, (IMAGES, 3))
LABELLED[::3, 2] = 0


def confusion_of(rate, seed):
    """``(N, C, C)`` counts of images: every class finds about ``rate`` of its pixels, the rest goes to the next class."""
    hits = np.random.default_rng(seed).binomial(LABELLED, rate)
    confusion = np.zeros((IMAGES, 3, 3), np.int64)
    for c in range(3):
        confusion[:, c, c], confusion[:, c, (c + 1) % 3] = hits[:, c], LABELLED[:, c] - hits[:, c]
    return confusion


def scores_of(confusion):
    """Scores in percent of ``(C, C)`` counts, by the definition."""
    hits, labelled, predicted = (x.astype(float) for x in (confusion.diagonal(), confusion.sum(1), confusion.sum(0)))
    with np.errstate(invalid='ignore'):
        iou, recall, precision = hits / (labelled + predicted - hits), hits / labelled, hits / predicted
    metrics = {'mIoU': np.nanmean(iou), 'mAcc': np.nanmean(recall), 'aAcc': hits.sum() / labelled.sum(),
               **{f'mIoU_{name}': iou[CLASSES.index(c)] for name, (c, ) in GROUPS.items()}}
    for kind, values in (('IoU', iou), ('Acc', recall), ('Precision', precision)):
        metrics.update({f'{kind}.{c}': value for c, value in zip(CLASSES, values, strict=True)})
    return {key: 100 * value for key, value in metrics.items()}


def write_test(path, confusion, seed=0, order=None, names=None, kept=True):
    """Write a result with its counts per image, in the given order."""
    order = list(range(len(confusion))) if order is None else order
    names = [f'seq/{i}.png' for i in range(len(confusion))] if names is None else names
    counts = np.stack([confusion.diagonal(axis1=1, axis2=2), confusion.sum(2), confusion.sum(1)])[:, order]
    image, classes = np.nonzero(counts[1] + counts[2])
    values = counts[:, image, classes]
    indptr = np.searchsorted(image, np.arange(len(order) + 1))
    kept_counts = EvaluatedCounts(confusion[order].sum(0), indptr.astype(np.int64), classes.astype(np.int32), *values,
                                  files=tuple(names[i] for i in order))
    arrays = kept_counts.arrays()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix('.counts.npz').write_bytes(pack(arrays))
    report = {'metrics': scores_of(confusion.sum(0)), 'classes': CLASSES, 'groups': GROUPS, 'seed': seed,
              'checkpoint': f'{path}.pth'}
    if kept:
        report.update(per_image=path.with_suffix('.counts.npz').name, per_image_sha256=digest(arrays))
    path.write_text(json.dumps(report))
    return str(path)


def test_intervals_over_images_are_those_of_a_slow_bootstrap(tmp_path):
    """Two seeds, the images of the second run in another order."""
    base, run = ([confusion_of(rate, 10 * k + seed) for seed in range(2)] for k, rate in enumerate((0.6, 0.75)))
    order = np.random.default_rng(1).permutation(IMAGES).tolist()
    specs = ['ce=' + ','.join(write_test(tmp_path / f'ce{s}.json', c, s) for s, c in enumerate(base)),
             'if=' + ','.join(write_test(tmp_path / f'if{s}.json', c, s, order) for s, c in enumerate(run))]
    comparison, = compare_runs(load(specs).runs)
    assert comparison.units == IMAGES
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(1500):
        picked = rng.integers(IMAGES, size=IMAGES)
        sums = [[scores_of(c[picked].sum(0)) for c in side] for side in (run, base)]
        drawn.append({key: np.mean([a[key] - b[key] for a, b in zip(*sums, strict=True)]) for key in sums[0][0]})
    for key in drawn[0]:
        found = comparison.over_images(key)
        low, high = np.nanpercentile([d[key] for d in drawn], [2.5, 97.5])
        assert found[1:] == pytest.approx((low, high), abs=0.06 * (high - low)), key
        assert found.mean == comparison.gain(key).mean
    text = text_of(load(specs).runs)
    assert 'difference, over images' in text
    assert f'Other images like these {IMAGES} would leave the difference within mIoU +' in sentences(load(specs).runs)[0]


def test_a_class_that_is_predicted_and_never_labelled_counts_as_in_the_metric(tmp_path):
    """Only the base predicts signs, in a few of the images, and no image has one: its mean is over three classes."""
    base, run = confusion_of(0.6, 0), confusion_of(0.6, 0)
    for confusion in (base, run):
        confusion[:, 1, 1] += confusion[:, 1, 2]
        confusion[:, 1, 2] = confusion[:, 2] = 0
    base[:5, 0, 2], base[:5, 0, 1] = base[:5, 0, 1], 0
    comparison, = compare_runs(load([f'ce={write_test(tmp_path / "ce.json", base)}',
                                     f'if={write_test(tmp_path / "if.json", run)}']).runs)
    assert comparison.gain('mIoU').mean > 15
    rng = np.random.default_rng(5)
    picks = [rng.integers(IMAGES, size=IMAGES) for _ in range(1500)]
    for key in ('mIoU', 'mAcc', 'aAcc', 'IoU.road', 'mIoU_head'):
        drawn = [scores_of(run[picked].sum(0))[key] - scores_of(base[picked].sum(0))[key] for picked in picks]
        low, high = np.percentile(drawn, [2.5, 97.5])
        found = comparison.images[key]
        assert found.mean == pytest.approx(comparison.gain(key).mean, abs=1e-6), key
        assert found[1:] == pytest.approx((low, high), abs=0.06 * (high - low)), key
        assert found.low <= found.mean <= found.high, key
    assert comparison.images['mPrecision'].mean == pytest.approx(comparison.gain('mPrecision').mean)


def test_both_intervals_must_agree(tmp_path):
    """Over seeds it is clear, over images it is not: one image makes all of the difference."""
    base, run = ([confusion_of(0.6, seed) for seed in range(3)] for _ in range(2))
    for good, bad in zip(run, base, strict=True):
        good[1] = np.diag(60 * LABELLED[1])
        bad[1] = good[1] // 2
        bad[1, [0, 1, 2], [1, 2, 0]] = (good[1] - bad[1]).diagonal()
    files = {name: ','.join(write_test(tmp_path / f'{name}{s}.json', c, s) for s, c in enumerate(side))
             for name, side in (('ce', base), ('if', run))}
    comparison, = compare_runs(load([f'{name}={text}' for name, text in files.items()]).runs)
    assert comparison.gain('mIoU').side == 1
    assert comparison.over_images('mIoU').side == 0
    assert comparison.side('mIoU') == 0
    assert 'undecided' in sentences(load([f'{name}={text}' for name, text in files.items()]).runs)[0]


def test_one_seed_has_an_interval_over_images_and_proves_nothing(tmp_path):
    specs = [f'ce={write_test(tmp_path / "ce.json", confusion_of(0.5, 0))}',
             f'if={write_test(tmp_path / "if.json", confusion_of(0.8, 1))}']
    runs = load(specs).runs
    comparison, = compare_runs(runs)
    assert comparison.over_images('mIoU').low > 0
    assert comparison.side('mIoU') == 0
    line, = sentences(runs)
    assert 'One seed proves nothing' in line
    assert 'Other images like these 16 would leave the difference within' in line
    assert 'in brackets 95 % intervals over images' in text_of(runs)
    rows = [row for grid in tables(runs, compare_runs(runs)) for row in markdown(grid).splitlines() if row.startswith('|')]
    assert not [row for row in rows if '**' in row], 'bold is what has a verdict'


def test_a_title_says_which_intervals_its_table_has(tmp_path):
    """Each class is labelled in one image, so that none has an interval; their mean has one."""
    base, run = (confusion_of(rate, seed) * (np.arange(IMAGES)[:, None, None] == np.array([1, 2, 4])[:, None])
                 for seed, rate in enumerate((0.5, 0.8)))
    runs = load([f'{name}={write_test(tmp_path / f"{name}.json", c)}' for name, c in (('ce', base), ('if', run))]).runs
    titles = [grid.title.partition('; in brackets ')[2] for grid in tables(runs, compare_runs(runs))]
    assert titles == ['95 % intervals over images', '', '', '']


def test_images_that_belong_together_are_drawn_together(tmp_path):
    specs = [f'ce={write_test(tmp_path / "ce.json", confusion_of(0.5, 0))}',
             f'if={write_test(tmp_path / "if.json", confusion_of(0.8, 1))}']
    runs = load(specs).runs
    alone, blocks = compare_runs(runs)[0], compare_runs(runs, blocks=4)[0]
    assert (alone.units, blocks.units) == (16, 4)
    assert alone.over_images('mIoU') != blocks.over_images('mIoU')
    groups = tmp_path / 'groups.txt'
    groups.write_text('\n'.join(' '.join(str(i) for i in range(k, k + 4)) for k in (0, 4, 8, 12)))
    assert compare_runs(runs, groups=str(groups))[0].images == blocks.images


def test_without_counts_there_are_no_intervals_over_images(tmp_path):
    specs = [f'ce={write_test(tmp_path / "ce.json", confusion_of(0.5, 0))}',
             f'if={write_test(tmp_path / "if.json", confusion_of(0.8, 1), kept=False)}']
    assert compare_runs(load(specs).runs)[0].images == {}


@pytest.mark.parametrize(('change', 'words'), [
    ('fewer', "same images to be paired, got others (1 in one of them only, such as 'seq/15.png')"),
    ('names', 'same images to be paired, got others (32 in one of them only'),
    ('labels', "must have been tested against the same labels, got different ones of 'seq/4.png'"),
    ('cut', '`per_image` of '), ('gone', "must be a file beside it, got 'if.counts.npz' (no such file)")])
def test_other_images_are_one_line(tmp_path, capsys, change, words):
    ce = write_test(tmp_path / 'ce.json', confusion_of(0.5, 0))
    confusion, names = confusion_of(0.8, 1), None
    if change == 'fewer':
        confusion = confusion[:15]
    elif change == 'names':
        names = [f'other/{i}.png' for i in range(IMAGES)]
    elif change == 'labels':
        confusion[4, 0, 0] += 1
    other = write_test(tmp_path / 'if.json', confusion, names=names)
    counts = tmp_path / 'if.counts.npz'
    if change == 'cut':
        counts.write_bytes(counts.read_bytes()[:-100])
    elif change == 'gone':
        counts.unlink()
    with pytest.raises(SystemExit) as ended:
        commands.main(['compare', f'ce={ce}', f'if={other}', '--csv', str(tmp_path / 'x.csv')])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count('\n') == 1
    assert not (tmp_path / 'x.csv').exists()
