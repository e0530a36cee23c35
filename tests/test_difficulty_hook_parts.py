"""Parts of the difficulty hook by themselves: ranks, sources, holdouts, modes, settings."""
from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import cv2
import mmengine.dataset.sampler
import numpy as np
import pytest
import torch
from mmengine.runner import IterBasedTrainLoop, Runner
from support.sampling import build, sampler, scan, write_images
from torch import nn

from mmimb import padding
from mmimb.hooks.difficulty.holdout import HoldoutSource, check_holdout
from mmimb.hooks.difficulty.meter import DifficultyMeter
from mmimb.hooks.difficulty.sampler import check_delay
from mmimb.hooks.difficulty.tracker import SAMPLER, DifficultyTracker
from mmimb.hooks.difficulty.training import TrainingSource, watch_training
from mmimb.hooks.difficulty.validation import ValidationSource
from mmimb.losses import CrossEntropyLoss
from mmimb.weights import DifficultyBalanced

BALANCED = dict(type='mmimb.DifficultyBalanced', num_classes=2)
PRED, LABEL = torch.tensor([0, 1, 0, 0]), torch.tensor([0, 1, 1, 1])  # recall 1 and 1/3


def tracker(path: Path, *, source: str = 'train', momentum: float = 0.9, weight=BALANCED, drawn=None, classes=('a', 'b')):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)), sampler=drawn, batch_sampler=None,
                             batch_size=2, num_workers=0, prefetch_factor=None)
    model = nn.ModuleDict({'loss_decode': CrossEntropyLoss(class_weight=weight)})
    return model, DifficultyTracker(model, loader, SimpleNamespace(name=source, momentum=momentum), folder=str(path))


def runner(iteration: int) -> SimpleNamespace:
    return SimpleNamespace(iter=iteration, _resume=iteration > 0, logger=MagicMock(), visualizer=MagicMock(),
                           train_loop=object.__new__(IterBasedTrainLoop))


def test_another_source_begins_its_scores_anew_and_keeps_the_weights(tmp_path) -> None:
    (_, old), (_, new) = tracker(tmp_path), tracker(tmp_path, source='holdout', momentum=0.5)
    old.meter.add(PRED, LABEL, 255)
    old.update(runner(3), 4)
    old.meter.add(PRED, LABEL, 255)
    old.meter.gather()
    resumed = runner(4)
    new.restore(resumed, old.state_dict(4))
    assert new.meter.score.isnan().all()
    assert new.meter.gathered.sum() == 0
    assert new.log.measurements == old.log.measurements
    assert "measured from 'train' before, and from 'holdout' now" in resumed.logger.warning.call_args[0][0]
    same = tracker(tmp_path)[1]
    same.restore(runner(4), old.state_dict(4))
    assert same.meter.score.equal(old.meter.score)
    assert same.meter.gathered[1].sum() == 4


def test_deferred_weights_follow_each_measurement_of_the_hook(tmp_path) -> None:
    model, made = tracker(tmp_path, weight=dict(type='mmimb.Deferred', weight=BALANCED, begin=0))
    weight = model['loss_decode'].class_weight
    weight.step(0, 10)
    made.meter.add(PRED, LABEL, 255)
    made.update(runner(3), 4)
    assert weight.weight.equal(weight.later.weight)
    assert weight.weight.std() > 0


@pytest.mark.parametrize(('rank', 'images'), [(0, 3), (1, 2)])
def test_what_fills_the_ranks_of_a_validation_does_not_count(monkeypatch, rank, images) -> None:
    monkeypatch.setattr(padding, 'get_dist_info', lambda: (rank, 2))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=range(5)))
    meter, source = DifficultyMeter(2, 0), ValidationSource()
    source.start(SimpleNamespace(val_loop=loop, max_iters=9, logger=MagicMock()), SimpleNamespace(decode_head=object()), meter)
    data = SimpleNamespace(data=torch.zeros(1, 1, 4, dtype=torch.int64))
    sample = SimpleNamespace(pred_sem_seg=data, gt_sem_seg=data)
    for _ in range(2):  # validations, of three samples a rank
        source.see([sample, sample])
        source.see([sample])
        source.measure()
    assert meter.counts[1].tolist() == [2 * 4 * images, 0]


def test_every_image_of_a_holdout_is_dealt_once(monkeypatch, tmp_path) -> None:
    data, seen = build(write_images(tmp_path / 'data', [(64, 0, 0, 0, 0)] * 5)), []
    run_ = SimpleNamespace(cfg={}, seed=0, rank=0, build_dataloader=Runner.build_dataloader)
    for rank in range(2):
        monkeypatch.setattr(mmengine.dataset.sampler, 'get_dist_info', lambda rank=rank: (rank, 2))
        loader = HoldoutSource(dict(dataset=data)).build(run_)
        seen += [Path(sample.img_path).stem for batch in loader for sample in batch['data_samples']]
    assert sorted(seen) == [f'{i:02d}' for i in range(5)]


class Guesses(nn.Module):
    """A segmentor that predicts class 0, and uses the random state."""

    def val_step(self, batch):
        assert not self.training
        torch.rand(3)
        label = torch.tensor([[[0, 1, 7, 7]]])
        pred, truth = (SimpleNamespace(data=data) for data in (torch.zeros_like(label), label))
        return [SimpleNamespace(pred_sem_seg=pred, gt_sem_seg=truth)]


@pytest.mark.parametrize('training', [True, False])
def test_a_measurement_leaves_mode_and_random_state(training) -> None:
    model, source = Guesses().train(training), HoldoutSource(dict(dataset=None))
    source.meter, source.ignore_index, source._model, source._batches = DifficultyMeter(2, 0), 7, model, [None, None]
    before = torch.random.get_rng_state()
    source.measure()
    assert model.training is training
    assert torch.random.get_rng_state().equal(before)
    assert source.meter.counts.tolist() == [[2, 0], [2, 2], [4, 0]]


def test_a_holdout_of_other_classes_is_refused() -> None:
    training, holdout = (SimpleNamespace(metainfo=dict(classes=names)) for names in (('road', 'car'), ('car', 'road')))
    with pytest.raises(ValueError, match=r'`dataloader\.dataset` must have the classes of the training split, got car, road, '):
        check_holdout(training, holdout, allow_missing=False, ignore_index=255)


def test_points_are_counted() -> None:
    """PointRend trains on points: (N, C, P) logits and (N, P) labels."""
    head = SimpleNamespace(ignore_index=255, align_corners=False, threshold=0.5)
    loss, meter = nn.Identity(), DifficultyMeter(3, 0)
    watch_training(loss, head, meter, stride=4)
    loss.forward = lambda logits, label: logits
    logits, label = torch.randn(2, 3, 21, requires_grad=True), torch.randint(0, 3, (2, 21))
    loss(logits, label)
    pred, label = logits.argmax(1)[:, 2::4], label[:, 2::4]
    for c in range(3):
        assert meter.counts[:, c].tolist() == [int(m.sum()) for m in ((pred == c) & (label == c), label == c, pred == c)]


def test_workers_that_prefetch_too_far_are_refused() -> None:
    with pytest.raises(ValueError, match=r'`delay` of DifficultySampler must be above .* \(.* = 6\), got 6'):
        check_delay(SimpleNamespace(num_workers=3, prefetch_factor=2), 6)
    check_delay(SimpleNamespace(num_workers=3, prefetch_factor=2), 7)
    check_delay(SimpleNamespace(num_workers=0, prefetch_factor=None), 1)


@pytest.mark.parametrize(('interval', 'warned'), [(8, False), (9, True)])
def test_a_measurement_at_the_very_end_is_one(interval, warned) -> None:
    assert bool(TrainingSource(interval).never(SimpleNamespace(max_iters=8))) is warned


def test_the_difficulty_of_a_class_that_stays_away_survives_a_resume(tmp_path) -> None:
    data = build(write_images(tmp_path / 'data'))
    report = scan(data, tmp_path / 'stats.json')
    weight = dict(BALANCED, num_classes=5)
    names = dict(momentum=0, weight=weight, classes=data.metainfo['classes'])
    old, new, whole = (tracker(tmp_path, drawn=sampler('DifficultySampler', data, report), **names)[1] for _ in range(3))
    for made in (old, whole):
        made.meter.add(torch.tensor([0, 0, 0, 0, 2, 2, 0, 0, 0]), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4]), 255)
        made.update(runner(3), 4)
    new.restore(runner(4), old.state_dict(4))
    for made in (new, whole):
        made.meter.add(torch.tensor([0, 1]), torch.tensor([0, 1]), 255)
        made.update(runner(7), 8)
    assert new.weights[SAMPLER].difficulty.equal(whole.weights[SAMPLER].difficulty)
    assert new.weights[SAMPLER].difficulty[2] == pytest.approx(0.01)


@pytest.mark.parametrize('fast', [False, True])
def test_a_loop_that_skips_no_batches_leaves_it_to_the_sampler(tmp_path, fast) -> None:
    """onedl's fast_forward_on_resume=True begins with the first draw; without, the loop reads what was trained on once more."""
    data = build(write_images(tmp_path / 'data'))
    report = scan(data, tmp_path / 'stats.json')
    whole, drawn = (sampler('DifficultySampler', data, report) for _ in range(2))
    made = tracker(tmp_path, drawn=drawn, weight=dict(BALANCED, num_classes=5), classes=data.metainfo['classes'])[1]
    resumed = runner(4)
    resumed.train_loop.fast_forward_on_resume = fast
    made.restore(resumed, made.state_dict(4))
    assert list(islice(drawn, 9)) == list(islice(whole, 13))[4 * fast:][:9]


def test_a_missing_validation_under_dynamic_intervals() -> None:
    from mmengine.runner.utils import calc_dynamic_intervals
    loop = object.__new__(IterBasedTrainLoop)
    loop._iter, loop.val_begin, loop.val_interval = 15, 1, 10
    loop.dynamic_milestones, loop.dynamic_intervals = calc_dynamic_intervals(10, [(11, 5)])
    resumed = SimpleNamespace(train_loop=loop, iter=15)
    assert ValidationSource().missed(resumed, measured=10)
    assert not ValidationSource().missed(resumed, measured=15)


@pytest.mark.parametrize('gain', [0.5, 1])
def test_scores_settle_by_default_and_swing_with_the_latest_measurement_only(gain) -> None:
    """Two classes between which the model shifts by ``gain`` times the logarithm of the ratio of their weights."""
    swing = {}
    for momentum in (0, HoldoutSource(dict(dataset=None)).momentum, ValidationSource().momentum):
        weight, meter, scores = DifficultyBalanced(2, max_ratio=None), DifficultyMeter(2, momentum), []
        for _ in range(40):
            shift = gain * (weight.weight[0] / weight.weight[1]).log()
            recall = torch.stack([shift + 3, -shift - 1]).sigmoid()
            meter.counts += torch.stack([1e6 * recall, torch.full((2,), 1e6), 1e6 * recall]).long()
            weight.update(meter.close()[0][0])
            scores.append(recall[0].item())
        swing[momentum] = max(scores[-6:]) - min(scores[-6:])
    assert swing.pop(0) > 0.8
    assert max(swing.values()) < 0.01


def test_a_large_exponent_is_finite() -> None:
    weight = DifficultyBalanced(3, tau=170)
    weight.update(torch.ones(3))
    assert weight.weight.tolist() == [1, 1, 1]


@pytest.mark.parametrize(('damage', 'message'), [
    (lambda path: path.unlink(), 'missing_label: labels/03.png'),
    (lambda path: path.write_bytes(b'x'), 'unreadable_label: labels/03.png'),
    (lambda path: cv2.imwrite(str(path), np.full((8, 8), 77, np.uint8)), 'outside_classes: labels/03.png'),
    (lambda path: cv2.imwrite(str(path), np.zeros((4, 8), np.uint8)), 'size_mismatch: labels/03.png')])
def test_a_holdout_with_a_bad_label_is_refused(tmp_path, damage, message) -> None:
    training, config = build(write_images(tmp_path / 'a')), write_images(tmp_path / 'b')
    (tmp_path / 'list.txt').write_text('\n'.join(f'{i:02d}' for i in range(12)))
    holdout = build({**config, 'ann_file': str(tmp_path / 'list.txt')})
    check_holdout(training, holdout, allow_missing=True, ignore_index=255)
    damage(tmp_path / 'b/labels/03.png')
    with pytest.raises(ValueError, match='^`dataloader.dataset` must have readable labels, got error: ' + message) as error:
        check_holdout(training, holdout, allow_missing=True, ignore_index=255)
    assert '\n' not in str(error.value)
