"""Difficulty-balanced weights against the formula of the paper in numpy, and their corners."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmimb.functional import class_scores, confusion_matrix, difficulty_weights, dynamic_tau
from mmimb.hooks.difficulty.meter import DifficultyMeter
from mmimb.losses import CrossEntropyLoss, OutlyingMSELoss
from mmimb.weights import Deferred, DifficultyBalanced

NAN = float('nan')
VECTORS = [v for v in json.loads(Path(__file__).with_name('vectors.json').read_text())['vectors']
           if v['name'].startswith('cdb/')]


def oracle(score, tau='dynamic', last=None, max_ratio=10.0):
    """The paper's formula, term by term; ``last`` holds the difficulties of before."""
    score = np.asarray(score, dtype=np.float64)
    measured = ~np.isnan(score)
    difficulty = np.ones(len(score)) if last is None else np.array(last, dtype=np.float64)
    difficulty[measured] = np.clip(1 - score[measured], 0.01, 1)
    if tau == 'dynamic':
        bias = score[measured].max() / (score[measured].min() + 0.01) - 1
        tau = 2 / (1 + np.exp(-bias))
    weight = difficulty**tau
    if max_ratio is not None:
        weight = np.minimum(weight, max_ratio * weight[measured].min())
    weight = weight * measured.sum() / weight[measured].sum()
    weight[~measured] = np.minimum(weight[~measured], weight[measured].max())
    return difficulty, tau, weight


def updated(*scores, **cfg) -> DifficultyBalanced:
    weight = DifficultyBalanced(len(scores[0]), **cfg)
    for score in scores:
        weight.update(torch.tensor(score, dtype=torch.float64))
    return weight


@pytest.mark.parametrize('score', [
    [0.9, 0.5, 0.1], [1.0, 0.5, 0.1], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.9, 0.9, 0.0], [0.3, NAN, 0.6], [0.999, NAN, 0.998],
    [NAN, NAN, 0.4], [1.0], [0.0]
])
@pytest.mark.parametrize('cfg', [{}, dict(tau=1), dict(tau=0), dict(tau=5), dict(tau=2, max_ratio=3.0),
                                 dict(max_ratio=None)])
def test_formula(score, cfg) -> None:
    got = updated(score, **cfg)
    difficulty, tau, weight = oracle(score, cfg.get('tau', 'dynamic'), max_ratio=cfg.get('max_ratio', 10.0))
    np.testing.assert_allclose(got.difficulty.numpy(), difficulty, rtol=1e-12)
    np.testing.assert_allclose(got.tau.item(), tau, rtol=1e-12)
    np.testing.assert_allclose(got.weight.numpy(), weight, rtol=1e-10)
    measured = ~np.isnan(score)
    assert got.weight.isfinite().all()
    assert (got.weight > 0).all()
    assert got.weight.numpy()[measured].mean() == pytest.approx(1, abs=1e-12)
    assert got.weight.max().item() == pytest.approx(weight[measured].max())


def test_before_the_first_measurement_all_weights_are_one() -> None:
    assert DifficultyBalanced(4).weight.tolist() == [1, 1, 1, 1]
    assert DifficultyBalanced(4, tau=1.5).tau.item() == 1.5


@pytest.mark.parametrize('score', [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
def test_classes_that_do_alike_weigh_alike(score) -> None:
    assert updated(score).weight.tolist() == pytest.approx([1, 1, 1])


def test_a_class_that_is_absent_keeps_its_difficulty_and_leaves_tau_alone() -> None:
    got = updated([0.2, 0.8, 0.5], [NAN, 0.9, 0.6])
    difficulty, tau, weight = oracle([NAN, 0.9, 0.6], last=[0.8, 0.2, 0.5])
    assert difficulty[0] == pytest.approx(0.8)
    np.testing.assert_allclose(got.difficulty.numpy(), difficulty)
    np.testing.assert_allclose(got.tau.item(), tau)
    np.testing.assert_allclose(got.weight.numpy(), weight)


def test_absent_classes_have_no_say_in_tau_and_the_cap() -> None:
    present = torch.tensor([True, False, True])
    tau = dynamic_tau(torch.tensor([0.2, 0.99, 0.5], dtype=torch.float64), present)
    assert tau.item() == pytest.approx(oracle([0.2, 0.5])[1])
    weight = difficulty_weights(torch.tensor([0.8, 0.1, 0.4]), present, 1.0, max_ratio=1.5)
    assert weight.tolist() == pytest.approx([1.2, 0.2, 0.8])


def test_an_empty_measurement_changes_nothing() -> None:
    before, after = updated([0.2, 0.8]), updated([0.2, 0.8], [NAN, NAN])
    assert before.weight.tolist() == after.weight.tolist()
    assert before.tau == after.tau


@pytest.mark.parametrize('vector', [v for v in VECTORS if 'code' not in v['name']], ids=lambda v: v['name'])
def test_vectors(vector) -> None:
    """Weights of the authors' code; the CIFAR code's ``tau`` lacks a factor and a term of the paper and is a number here."""
    params = vector['params']
    got = updated(params['class_accuracy'], tau='dynamic' if 'dynamic' in str(params['tau']) else params['tau_value'],
                  max_ratio=None)
    np.testing.assert_allclose(got.tau.item(), params['tau_value'], rtol=1e-12)
    np.testing.assert_allclose(got.weight.numpy(), params['weights'], rtol=1e-12)


def test_vector_of_the_code_with_another_tau() -> None:
    params = next(v for v in VECTORS if 'CIFAR_EGTEA_code' in v['name'])['params']
    np.testing.assert_allclose(updated(params['class_accuracy'], tau=params['tau_value'], max_ratio=None).weight.numpy(),
                               params['weights'], rtol=1e-12)


def test_scores_are_those_of_the_definitions() -> None:
    rng = np.random.default_rng(0)
    label, pred = rng.integers(0, 4, 500), rng.integers(0, 5, 500)
    got = class_scores(*counts(torch.from_numpy(pred), torch.from_numpy(label), 5)).numpy()
    for c in range(4):
        hit, labelled, guessed = ((label == c) & (pred == c)).sum(), (label == c).sum(), (pred == c).sum()
        precision, recall = hit / guessed, hit / labelled
        want = [recall, hit / (labelled + guessed - hit), 2 * precision * recall / (precision + recall)]
        np.testing.assert_allclose(got[:, c], want)
    assert np.isnan(got[:, 4]).all()  # predicted, but never labelled


def counts(pred, label, num_classes):
    matrix = confusion_matrix(pred, label, num_classes)
    return matrix.diagonal(), matrix.sum(1), matrix.sum(0)


def test_meter_averages_over_time_and_keeps_what_is_absent() -> None:
    meter = DifficultyMeter(3, momentum=0.75)
    label = torch.tensor([0, 0, 0, 0, 1, 1, 255])
    meter.add(torch.tensor([0, 0, 0, 1, 1, 0, 2]), label, 255)
    recall = meter.close()[0][0]
    np.testing.assert_allclose(recall.numpy(), [0.75, 0.5, np.nan])
    meter.add(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 0, 0]), 255)
    np.testing.assert_allclose(meter.close()[0][0].numpy(), [0.75 * 0.75 + 0.25 * 0.25, 0.5, np.nan])
    assert meter.close()[0][0].tolist()[:2] == [0.625, 0.5]  # nothing counted, nothing changed


def test_meter_without_momentum_is_the_latest_measurement_only() -> None:
    meter = DifficultyMeter(2, momentum=0)
    meter.add(torch.tensor([0, 1]), torch.tensor([0, 1]), 255)
    assert meter.close()[0][0].tolist() == [1, 1]
    meter.add(torch.tensor([1]), torch.tensor([0]), 255)
    recall = meter.close()[0][0]
    assert recall[0] == 0
    assert recall[1].isnan()  # absent, so that the weight keeps its difficulty


def test_state_is_in_the_checkpoint_and_survives_half_precision() -> None:
    loss = CrossEntropyLoss(class_weight=dict(type='mmimb.DifficultyBalanced', num_classes=3))
    loss.class_weight.update(torch.tensor([0.9, 0.5, 0.1]))
    state = loss.state_dict()
    assert set(state) == {'class_weight.weight', 'class_weight.difficulty', 'class_weight.tau'}
    other = CrossEntropyLoss(class_weight=dict(type='mmimb.DifficultyBalanced', num_classes=3)).half()
    other.load_state_dict(state)
    for name in ('weight', 'difficulty', 'tau'):
        got, want = getattr(other.class_weight, name), getattr(loss.class_weight, name)
        assert got.dtype == torch.float64
        assert torch.equal(got, want)
    with pytest.raises(RuntimeError, match='size mismatch'):
        CrossEntropyLoss(class_weight=dict(type='mmimb.DifficultyBalanced', num_classes=4)).load_state_dict(state)


def test_the_exponent_of_the_config_counts_not_that_of_the_checkpoint() -> None:
    weight = DifficultyBalanced(2, tau=3.0)
    weight.load_state_dict(updated([0.9, 0.1]).state_dict())
    weight.update(torch.tensor([0.5, 0.75]))
    assert weight.tau.item() == 3
    np.testing.assert_allclose(weight.weight.numpy(), oracle([0.5, 0.75], tau=3)[2])


@pytest.mark.parametrize('build', [
    CrossEntropyLoss, lambda **cfg: OutlyingMSELoss(dict(pixels=[5, 3, 2]), **cfg)
], ids=['cross-entropy', 'outlying MSE'])
def test_losses_use_the_latest_weights(build) -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0, 1, 2, 255], [2, 2, 1, 0]])
    loss = build(class_weight=dict(type='mmimb.DifficultyBalanced', num_classes=3))
    plain = build()
    assert loss(logits, target) == plain(logits, target)
    loss.class_weight.update(torch.tensor([0.9, 0.5, 0.1]))
    want = build(class_weight=loss.class_weight.weight.tolist())(logits, target)
    torch.testing.assert_close(loss(logits, target), want)
    assert loss(logits, target) != plain(logits, target)


def test_deferred_follows_the_measurements() -> None:
    weight = Deferred(dict(type='mmimb.DifficultyBalanced', num_classes=2, tau=1), begin=3)
    weight.later.update(torch.tensor([0.75, 0.25]))
    weight.refresh()
    assert weight.weight.tolist() == [1, 1]
    weight.step(3, 10)
    assert weight.weight.tolist() == pytest.approx([0.5, 1.5])
    weight.later.update(torch.tensor([0.25, 0.75]))
    weight.refresh()
    assert weight.weight.tolist() == pytest.approx([1.5, 0.5])


@pytest.mark.parametrize(('cfg', 'message'), [
    (dict(num_classes=0), r'`num_classes` must be at least 1, got 0'),
    (dict(num_classes=3, tau=-1), r'`tau` must be a finite number at least 0, got -1'),
    (dict(num_classes=3, tau='dynamical'), r"`tau` must be a finite number at least 0, got 'dynamical'"),
    (dict(num_classes=3, measure='accuracy'), r"`measure` must be one of .*'recall', 'iou', 'f1'.*, got 'accuracy'"),
    (dict(num_classes=3, max_ratio=0.5), r'`max_ratio` must be a finite number at least 1, got 0.5'),
])
def test_bad_arguments(cfg, message) -> None:
    with pytest.raises(ValueError, match=message):
        DifficultyBalanced(**cfg)


def test_a_measurement_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r'`score` must have the shape \(3,\), got \(2,\)'):
        DifficultyBalanced(3).update(torch.zeros(2))
