"""LongTailIoUMetric against a numpy oracle and against mmseg's IoUMetric."""
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS as ROOT_METRICS

from mmimb.metrics import LongTailIoUMetric

CLASSES = ('road', 'sky', 'car', 'pole', 'bicyclist')
STATS = dict(pixels=[500, 900, 100, 20, 3], classes=list(CLASSES))  # order: sky, road | car, pole | bicyclist


def build(classes=CLASSES, **kwargs):
    metric = LongTailIoUMetric(**kwargs)
    metric.dataset_meta = {'classes': classes}
    return metric


def sample(pred, label, name='a.png'):
    return {'pred_sem_seg': {'data': torch.as_tensor(pred)[None]}, 'gt_sem_seg': {'data': torch.as_tensor(label)[None]},
            'seg_map_path': name, 'img_path': name.replace('png', 'jpg')}


def random_samples(num_images, seed=0, absent=(), unlabelled=(), num_classes=5):
    """Random images; ``absent`` classes are nowhere, ``unlabelled`` ones only predicted; one image is all ignored."""
    rng = np.random.default_rng(seed)
    in_pred = [c for c in range(num_classes) if c not in absent]
    in_label = [c for c in in_pred if c not in unlabelled]
    samples = []
    for i in range(num_images):
        label = rng.choice([*in_label, 255], (8, 9))
        guess = np.where((rng.random(label.shape) < 0.6) & (label != 255), label, rng.choice(in_pred, label.shape))
        samples.append(sample(guess, np.full_like(label, 255) if i == 1 else label, f'{i}.png'))
    return samples


def run(metric, samples, batch_size=2):
    for i in range(0, len(samples), batch_size):
        metric.process(None, samples[i:i + batch_size])
    return metric.evaluate(len(samples))


def oracle(samples, classes=CLASSES, groups=None, ignore_index=255):
    pred = np.concatenate([s['pred_sem_seg']['data'].numpy().ravel() for s in samples])
    label = np.concatenate([s['gt_sem_seg']['data'].numpy().ravel() for s in samples])
    pred, label = pred[label != ignore_index], label[label != ignore_index]
    expected, iou, acc = {}, {}, {}
    for c, name in enumerate(classes):
        hit, labelled, predicted = np.sum((pred == c) & (label == c)), np.sum(label == c), np.sum(pred == c)
        if labelled + predicted == 0:
            expected.update({f'{kind}.{name}': math.nan for kind in ('IoU', 'Acc', 'Precision')})
            continue
        iou[c] = hit / (labelled + predicted - hit)
        expected[f'IoU.{name}'] = iou[c]
        expected[f'Acc.{name}'] = hit / labelled if labelled else math.nan
        expected[f'Precision.{name}'] = hit / predicted if predicted else math.nan
        if labelled:
            acc[c] = hit / labelled
    expected.update(mIoU=np.mean([*iou.values()]), mAcc=np.mean([*acc.values()]), aAcc=np.mean(pred == label))
    for name, members in (groups or {}).items():
        measured = [iou[c] for c in members if c in iou]
        expected[f'mIoU_{name}'] = np.mean(measured) if measured else math.nan
    return {key: 100 * float(value) for key, value in expected.items()}


def assert_same(got, expected, tolerance=0.00501):
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        assert got[key] == pytest.approx(value, abs=tolerance, nan_ok=True), key
        assert type(got[key]) is float


@pytest.mark.parametrize('kwargs', [{}, {'absent': (1,)}, {'unlabelled': (2,)}, {'absent': (4,), 'unlabelled': (0, 3)}])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_oracle(kwargs, batch_size):
    samples = random_samples(7, **kwargs)
    groups = {'head': [1, 0], 'medium': [2, 3], 'tail': [4]}
    assert_same(run(build(stats=STATS), samples, batch_size), oracle(samples, groups=groups))
    assert_same(run(build(), samples, batch_size), oracle(samples))


@pytest.mark.parametrize('kwargs', [{}, {'absent': (1,)}, {'unlabelled': (2, 4)}])
def test_equals_mmseg(kwargs):
    from mmseg.evaluation import IoUMetric
    samples = random_samples(6, seed=3, **kwargs)
    stock = IoUMetric(iou_metrics=['mIoU'])
    stock.dataset_meta = {'classes': CLASSES}
    expected, got = run(stock, samples), run(build(), samples)
    for key in ('mIoU', 'mAcc', 'aAcc'):
        assert got[key] == pytest.approx(float(expected[key]), abs=0.0101)  # mmseg rounds in float32


def test_first_key_is_miou_for_save_best_auto():
    assert next(iter(run(build(), random_samples(2)))) == 'mIoU'


def test_absent_and_only_predicted_class():
    got = run(build(), [sample([[0, 0, 3, 1]], [[0, 0, 0, 1]])])
    assert all(math.isnan(got[f'{kind}.{name}']) for kind in ('IoU', 'Acc', 'Precision') for name in ('car', 'bicyclist'))
    assert got['IoU.pole'] == 0
    assert math.isnan(got['Acc.pole'])
    assert got['Precision.pole'] == 0
    assert got['mIoU'] == round(100 * (2 / 3 + 1 + 0) / 3, 2)
    assert got['mAcc'] == round(100 * (2 / 3 + 1) / 2, 2)


def test_never_predicted_class_has_no_precision():
    got = run(build(), [sample([[0, 0]], [[0, 1]])])
    assert got['IoU.sky'] == got['Acc.sky'] == 0
    assert math.isnan(got['Precision.sky'])


def test_group_without_a_measured_class_is_nan():
    got = run(build(stats=STATS), [sample([[0, 1]], [[0, 1]])])
    assert got['mIoU_head'] == 100
    assert math.isnan(got['mIoU_medium'])
    assert math.isnan(got['mIoU_tail'])
    assert math.isnan(run(build(groups={'tail': []}), [sample([[0, 1]], [[0, 1]])])['mIoU_tail'])


def test_everything_ignored():
    got = run(build(stats=STATS), [sample([[0, 1]], [[255, 255]])])
    assert {'mIoU', 'mAcc', 'aAcc', 'mIoU_head', 'mIoU_medium', 'mIoU_tail', 'IoU.road'} < got.keys()
    assert all(math.isnan(value) for value in got.values())


@pytest.mark.parametrize('arguments', [{}, dict(stats=STATS), dict(iou_metrics=['mIoU', 'mDice', 'mFscore'], prefix='val')])
def test_every_evaluation_has_the_same_keys(arguments):
    metric = build(**arguments)
    for samples in (random_samples(3), random_samples(2, absent=(4, 2)), [sample([[0, 1]], [[255, 255]])]):
        assert list(run(metric, samples)) == metric.keys()


@pytest.mark.parametrize('beta', [1, 2])
def test_dice_and_f_score(beta):
    samples = random_samples(5, absent=(1,), unlabelled=(3,))
    got = run(build(iou_metrics=['mDice', 'mFscore'], beta=beta), samples)
    pred = np.concatenate([s['pred_sem_seg']['data'].numpy().ravel() for s in samples])
    label = np.concatenate([s['gt_sem_seg']['data'].numpy().ravel() for s in samples])
    pred, label = pred[label != 255], label[label != 255]
    dice, f = {}, {}
    for c in (0, 2, 3, 4):
        tp, fp, fn = ((pred == c) & (label == c)).sum(), ((pred == c) & (label != c)).sum(), ((pred != c) & (label == c)).sum()
        dice[c], f[c] = 2 * tp / (2 * tp + fp + fn), (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)
        assert got[f'Dice.{CLASSES[c]}'] == pytest.approx(100 * dice[c], abs=0.00501)
        assert got[f'Fscore.{CLASSES[c]}'] == pytest.approx(100 * f[c], abs=0.00501)
    assert math.isnan(got['Dice.sky'])
    assert got['Dice.pole'] == got['Fscore.pole'] == 0
    assert got['mDice'] == pytest.approx(100 * np.mean([*dice.values()]), abs=0.00501)
    assert got['mFscore'] == pytest.approx(100 * np.mean([*f.values()]), abs=0.00501)
    assert got['mRecall'] == got['mAcc']
    assert next(iter(got)) == 'mIoU'


def test_dice_and_f_score_equal_mmseg_where_all_classes_have_hits():
    from mmseg.evaluation import IoUMetric
    samples, wanted = random_samples(6, seed=3), ['mIoU', 'mDice', 'mFscore']
    stock = IoUMetric(iou_metrics=wanted, beta=2)
    stock.dataset_meta = {'classes': CLASSES}
    expected, got = run(stock, samples), run(build(iou_metrics=wanted, beta=2), samples)
    assert {'mDice', 'mFscore', 'mPrecision', 'mRecall'} < expected.keys()
    for key, value in expected.items():
        assert got[key] == pytest.approx(float(value), abs=0.0101), key


def test_ignore_index_is_used():
    samples = [sample([[0, 1, 1]], [[0, 0, 1]])]
    assert_same(run(build(ignore_index=0), samples), oracle(samples, ignore_index=0))


def test_state_is_reset_between_evaluations():
    metric, first, second = build(stats=STATS), random_samples(5, seed=1), random_samples(4, seed=2, absent=(3,))
    run(metric, first)
    assert_same(run(metric, second), run(build(stats=STATS), second), 0)


def test_memory_does_not_grow_with_the_images():
    def held(metric):
        seen = [value for value in vars(metric).values() if isinstance(value, torch.Tensor)]
        return sum(value.numel() for value in seen), len(metric.results)

    metric = build()
    metric.process(None, random_samples(2))
    before = held(metric)
    for seed in range(20):
        metric.process(None, random_samples(3, seed=seed))
    assert held(metric) == before == (2 * 5 * 5, 0)


def test_inputs_are_left_alone():
    image = sample([[0, 9]], [[0, 255]])
    run(build(), [image])
    assert image['pred_sem_seg']['data'].tolist() == [[[0, 9]]]
    assert image['gt_sem_seg']['data'].tolist() == [[[0, 255]]]


def test_prefix_and_registry():
    evaluator = Evaluator(dict(type='mmimb.LongTailIoUMetric', prefix='val', stats=STATS))
    evaluator.dataset_meta = {'classes': CLASSES}
    evaluator.process(random_samples(2))
    got = evaluator.evaluate(2)
    assert {'val/mIoU', 'val/mIoU_tail', 'val/IoU.car'} <= got.keys()
    assert isinstance(ROOT_METRICS.build(dict(type='mmimb.LongTailIoUMetric')), LongTailIoUMetric)


def test_groups_by_name_and_id():
    samples = random_samples(4)
    metric = build(groups=dict(head=['sky', 0], tail=[4, 'pole']))
    assert_same(run(metric, samples), oracle(samples, groups={'head': [1, 0], 'tail': [4, 3]}))
    assert metric.class_groups() == {'head': ['sky', 'road'], 'tail': ['bicyclist', 'pole']}
    with_order = build(groups=dict(head=['road', 'sky'], tail=[4, 'pole']), stats=STATS)
    assert with_order.class_groups() == {'head': ['sky', 'road'], 'tail': ['pole', 'bicyclist']}
    assert build(stats=STATS).class_groups() == {'head': ['sky', 'road'], 'medium': ['car', 'pole'], 'tail': ['bicyclist']}
    assert build().class_groups() == {}
