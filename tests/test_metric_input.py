"""What LongTailIoUMetric refuses, what it tolerates, and what it logs."""
from __future__ import annotations

import json
import math

import pytest
import torch
from test_metric import STATS, build, random_samples, run, sample

from mmimb.metrics import LongTailIoUMetric, long_tail_iou
from mmimb.stats import ClassStats


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(long_tail_iou, 'print_log', lambda message, logger=None, level=20: lines.append((level, message)))
    return lines


@pytest.mark.parametrize(('groups', 'error', 'message'), [
    (dict(head=['raod']), ValueError, r"`groups\['head'\]` must hold classes of the dataset .*got 'raod'"),
    (dict(head=[5]), ValueError, r'must hold ids in \[0, 5\), got 5'),
    (dict(head=[-1]), ValueError, 'got -1'),
    (dict(head=['sky'], tail=[1]), ValueError, "at most once, got 'sky' in 'head' and in 'tail'"),
    (dict(head=['sky', 'sky']), ValueError, "got 'sky' in 'head' and in 'head'"),
    (dict(head='sky'), TypeError, "must be a list of class names or ids, got 'sky'"),
    (dict(head=[True]), TypeError, 'must hold class names or ids, got True'),
    (dict(head=[1.0]), TypeError, 'must hold class names or ids, got 1.0'),
    ({1: ['sky']}, TypeError, 'must have names as keys, got 1'),
    ({}, ValueError, 'must have at least one group'),
    (['sky'], TypeError, 'must be a mapping'),
])
def test_bad_groups(groups, error, message):
    with pytest.raises(error, match=message):
        run(build(groups=groups), random_samples(1))


@pytest.mark.parametrize('stats', [
    dict(pixels=[1, 2, 3]), dict(STATS, classes=['road', 'sky', 'car', 'pole', 'train'])
])
@pytest.mark.parametrize('as_file', [False, True])
def test_statistics_of_other_classes_are_refused_at_the_first_image(stats, as_file, tmp_path):
    (tmp_path / 'stats.json').write_text(json.dumps(stats))
    with pytest.raises(ValueError, match='`stats` must'):
        build(stats=str(tmp_path / 'stats.json') if as_file else stats).process(None, random_samples(1))


def test_statistics_file_is_read_late_and_may_be_missing(tmp_path, log):
    path, samples = tmp_path / 'stats.json', random_samples(3)
    late = build(stats=str(path))
    path.write_text(json.dumps(STATS))
    assert run(late, samples) == run(build(stats=ClassStats.load(STATS)), samples)
    path.unlink()
    metric = build(stats=path)
    assert run(metric, samples) == run(build(), samples) == run(metric, samples)
    warnings = [message for level, message in log if level == 30]
    assert len(warnings) == 1
    assert 'stats.json is not on this machine' in warnings[0]
    path.write_text('{')
    with pytest.raises(ValueError, match='must be a JSON report'):
        run(build(stats=path), samples)


@pytest.mark.parametrize(('pred', 'label', 'message'), [
    ([[0, 1]], [[0, 5]], r"bad.png: `target` must be in \[0, 5\) or ignore_index=255, got 5"),
    ([[0, 1]], [[0, -1]], 'bad.png: .*got -1'),
    ([[0, 7]], [[0, 1]], r'bad.png: `pred` must be in \[0, 5\), got 7'),
    ([[0, 1, 2]], [[0, 1]], 'bad.png: `pred` must have the shape of `label`'),
])
def test_bad_image_is_named(pred, label, message):
    metric = build()
    with pytest.raises(ValueError, match=message):
        metric.process(None, [sample([[0]], [[0]]), sample(pred, label, 'bad.png')])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_bad_image_on_a_gpu_is_named_and_leaves_the_device_alive():
    metric, bad = build(), sample([[0, 1]], [[0, 5]], 'bad.png')
    with pytest.raises(ValueError, match=r'bad.png: .*got 5'):
        metric.process(None, [{k: {'data': v['data'].cuda()} if isinstance(v, dict) else v for k, v in bad.items()}])
    assert torch.ones(3, device='cuda').sum().item() == 3


@pytest.mark.parametrize(('label', 'pred', 'wrong'), [
    (5, 0, True), (-1, 0, True), (0, 5, True), (0, -1, True), (255, 9, False), (4, 4, False)
])
def test_range_check_of_other_devices(label, pred, wrong):
    assert long_tail_iou._out_of_range(torch.tensor([pred]), torch.tensor([label]), 5, 255) is wrong


def test_split_without_labels():
    image = sample([[0]], [[0]])
    del image['gt_sem_seg']
    with pytest.raises(ValueError, match=r'a.png: .* must hold `gt_sem_seg`, got none; .*format_only'):
        build().process(None, [image])


@pytest.mark.parametrize('meta', [None, {}, {'classes': ()}])
def test_dataset_without_class_names(meta):
    metric = LongTailIoUMetric()
    metric.dataset_meta = meta
    with pytest.raises(ValueError, match='`dataset_meta` must hold the class names'):
        metric.process(None, random_samples(1))


def test_classes_with_the_same_name():
    with pytest.raises(ValueError, match="`classes` must be distinct names, got 'b' twice"):
        run(build(classes=('a', 'b', 'b', 'c', 'd')), random_samples(1))


def test_arguments_inherited_from_mmseg_bases():
    LongTailIoUMetric(iou_metrics=['mIoU'], nan_to_num=None, beta=1, output_dir=None, format_only=False, collect_device='gpu')
    for name, value in dict(nan_to_num=0, output_dir='out', format_only=True).items():
        with pytest.raises(ValueError, match=f'`{name}` must be .*_delete_=True'):
            LongTailIoUMetric(**{name: value})
    with pytest.raises(TypeError, match='`ignore` is no argument'):
        LongTailIoUMetric(ignore=3)


@pytest.mark.parametrize(('kwargs', 'error'), [
    (dict(ignore_index='255'), TypeError), (dict(ignore_index=True), TypeError), (dict(collect_device='tpu'), ValueError),
    (dict(iou_metrics=['IoU']), ValueError), (dict(iou_metrics=[]), ValueError), (dict(beta=0), ValueError),
    (dict(stats=3), TypeError), (dict(stats={}), ValueError), (dict(stats=dict(pixels=[-1, 2])), ValueError)
])
def test_bad_arguments(kwargs, error):
    with pytest.raises(error, match=f'`{next(iter(kwargs))}`|pixels'):
        LongTailIoUMetric(**kwargs)


def test_child_config_over_a_stock_base(tmp_path):
    from mmengine.config import Config
    from mmengine.registry import METRICS
    (tmp_path / 'base.py').write_text("val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])\n")
    child = f"_base_ = ['base.py']\nval_evaluator = dict(type='mmimb.LongTailIoUMetric', stats={STATS})\n"
    (tmp_path / 'child.py').write_text(child)
    metric = METRICS.build(Config.fromfile(tmp_path / 'child.py').val_evaluator)
    assert isinstance(metric, LongTailIoUMetric)
    assert metric.stats.pixels == tuple(STATS['pixels'])


def test_table_in_the_log(log):
    run(build(stats=STATS), [sample([[0, 0, 1, 1, 2]], [[0, 1, 1, 1, 3]])])
    (_, text), = log
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]
    assert rows == [
        ['class', 'group', 'labelled pixels', 'share %', 'IoU', 'Acc', 'Precision'],
        ['sky', 'head', '3', '60.00', '66.67', '66.67', '100.00'],
        ['road', 'head', '1', '20.00', '50.00', '100.00', '50.00'],
        ['car', 'medium', '0', '0.00', '0.00', '-', '0.00'],
        ['pole', 'medium', '1', '20.00', '0.00', '0.00', '-'],
        ['bicyclist', 'tail', '0', '0.00', '-', '-', '-'],
    ]
    assert text.splitlines()[-1] == 'lowest IoU: car 0.00, pole 0.00, road 50.00'


def test_all_classes_that_share_the_lowest_iou_are_named_from_the_rarest(log):
    names = [f'c{c}' for c in range(16)]
    label = [[0] * 20 + [1] * 9 + [c for c in range(2, 16) for _ in range(16 - c)]]
    found = [[0] * 20 + [1] * 9 + [0] * sum(16 - c for c in range(2, 16))]
    run(build(classes=names), [sample(found, label)])
    assert log[0][1].splitlines()[-1] == ('lowest IoU: ' + ', '.join(f'c{c} 0.00' for c in range(15, 5, -1)) + ' and 4 more')


def test_table_without_groups_is_ordered_by_pixels(log):
    run(build(), [sample([[0, 0, 1, 1, 2]], [[0, 1, 1, 1, 3]])])
    assert [line.split()[1] for line in log[0][1].splitlines() if line.startswith('|')][1:3] == ['sky', 'road']


def test_wrong_number_of_images_is_said(log):
    metric = build()
    metric.process(None, random_samples(2))
    metric.evaluate(5)
    assert '2 images were measured in a dataset of 5' in log[0][1]
    assert math.isnan(metric.evaluate(1)['mIoU'])  # nothing was processed
    assert '0 images were measured in a dataset of 1' in log[2][1]
