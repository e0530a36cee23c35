"""Precision and recall over the score: against the predictions that an offset really gives, in numpy."""
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_metric import CLASSES

from mmimb.analysis.score_curves import BINS, HALF, ScoreCurves, count_leads, offsets
from mmimb.metrics import PrecisionRecallMetric


def data(seed=0, size=(40, 50), classes=4, scale=3.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(classes, *size)).astype(np.float32) * scale
    label = rng.integers(0, classes, size)
    logits += 2 * (np.arange(classes)[:, None, None] == label)
    label[rng.random(size) < .1] = 255
    return logits, label


def curves_of(*images):
    return ScoreCurves(*sum(count_leads(*image) for image in images).numpy())


def reached(logits, label, c, offset):
    """Right, predicted and labelled pixels of class ``c`` when ``offset`` is added to its scores."""
    moved = logits.astype(np.float64).copy()
    moved[c] += offset
    pred, valid = moved.argmax(0), label != 255
    return ((pred == c) & (label == c)).sum(), ((pred == c) & valid).sum(), (label == c).sum()


@pytest.mark.parametrize('scale', [0.3, 3.0, 30.0])
def test_every_point_is_what_the_offset_gives(scale):
    logits, label = data(1, scale=scale)
    curves = curves_of((logits, label))
    at = [1, 40, 70, HALF - 1, HALF, HALF + 1, 130, 160, BINS - 1]
    for c in range(4):
        right, predicted = curves.above(c)
        for i in at:
            hits, guessed, labelled = reached(logits, label, c, offsets()[i])
            assert right[i] == pytest.approx(hits, abs=1), 'rounding of an edge'
            assert predicted[i] == pytest.approx(guessed, abs=1)
        now = curves.point(c)
        hits, guessed, labelled = reached(logits, label, c, 0)
        assert (right[HALF], predicted[HALF], offsets()[HALF]) == (hits, guessed, 0), 'exact where the decision is'
        assert (now.recall, now.precision) == (hits / labelled, hits / guessed)
        assert now.f_score == pytest.approx(2 * hits / (labelled + guessed))
        assert now.iou == pytest.approx(hits / (labelled + guessed - hits))
        assert curves.own[c].sum() == labelled
        assert curves.own[c].sum() + curves.other[c].sum() == (label != 255).sum()


def test_the_best_f_is_found_and_the_area_is_that_of_all_thresholds():
    logits, label = data(2)
    logits[1] -= 2  # seen, and not believed
    curves = curves_of((logits, label))
    best, now = curves.best(1), curves.point(1)
    assert best.f_score > now.f_score + .05
    assert 1 < best.offset < 6
    valid = label != 255
    lead = (logits[1] - np.delete(logits, 1, 0).max(0))[valid]
    own = (label == 1)[valid][np.argsort(-lead, kind='stable')]
    right, predicted = np.cumsum(own), np.arange(1, len(own) + 1)
    score = 2 * right / (own.sum() + predicted)
    assert best.f_score == pytest.approx(score.max(), abs=.005)
    area = (right / predicted)[own].sum() / own.sum()
    assert curves.average_precision(1) == pytest.approx(area, abs=.01)


def test_equal_scores_go_to_the_first_class():
    logits = torch.zeros(3, 2, 2)
    curves = curves_of((logits, torch.tensor([[0, 1], [2, 0]])))
    assert [curves.above(c)[1][HALF] for c in range(3)] == [4, 0, 0]
    assert curves.above(1)[1][HALF - 1] == 4


def test_edge_cases():
    logits, label = data(3)
    nothing = curves_of((logits, np.full_like(label, 255)))
    assert math.isnan(nothing.average_precision(0))
    assert math.isnan(nothing.point(0).recall)
    assert nothing.best(0).f_score == 0 or math.isnan(nothing.best(0).f_score)
    half = curves_of((torch.tensor(logits).bfloat16(), label))
    assert half.own.sum() == (label != 255).sum()
    strided = curves_of((torch.tensor(logits).permute(0, 2, 1), label.T))
    np.testing.assert_array_equal(strided.own, curves_of((logits, label)).own)
    one = curves_of((torch.zeros(1, 3), torch.tensor([0, 0, 255])))
    assert one.above(0)[1][HALF] == 2
    logits[0, 0, 0] = -math.inf
    assert curves_of((logits, label)).own.sum() == (label != 255).sum()
    logits[0, 0, 0] = math.nan
    label[0, 0] = 0
    with pytest.raises(ValueError, match='`logits` must be numbers, got NaN'):
        count_leads(logits, label)


def test_the_metric_sums_images_and_names_its_keys():
    images = [data(seed, classes=5) for seed in range(3)]
    metric = PrecisionRecallMetric(groups=dict(head=['road', 'sky'], tail=['bicyclist']))
    metric.dataset_meta = {'classes': CLASSES}
    samples = [{'seg_logits': {'data': torch.tensor(z)}, 'gt_sem_seg': {'data': torch.tensor(y)[None]}, 'img_path': 'a'}
               for z, y in images]
    metric.process(None, samples[:2])
    metric.process(None, samples[2:])
    found = metric.evaluate(3)
    assert list(found) == metric.keys()
    curves = curves_of(*images)
    np.testing.assert_array_equal(metric.curves.own, curves.own)
    assert found['AP.bicyclist'] == found['mAP_tail'] == pytest.approx(100 * curves.average_precision(4), abs=.00501)
    assert found['BestF.car'] == pytest.approx(100 * curves.best(2).f_score, abs=.00501)
    assert found['Offset.car'] == pytest.approx(curves.best(2).offset, abs=.000501)
    with pytest.raises(ValueError, match=r'must have a channel for each of the 5 classes, got 4'):
        metric.process(None, [{**samples[0], 'seg_logits': {'data': samples[0]['seg_logits']['data'][:4]}}])
    with pytest.raises(ValueError, match='must hold `seg_logits`'):
        metric.process(None, [{'gt_sem_seg': samples[0]['gt_sem_seg'], 'img_path': 'a'}])
    with pytest.raises(ValueError, match='makes no confusion matrix'):
        PrecisionRecallMetric(keep_counts=True)
