"""Labels with several classes at one pixel: ``(N, C, H, W)`` maps of 0, 1 and the ignored label."""
from __future__ import annotations

import textwrap

import numpy as np
import pytest
import torch
from cases import CASES
from mmcv.transforms import BaseTransform
from mmengine.registry import METRICS
from mmengine.registry import MODELS as ROOT
from mmseg.registry import TRANSFORMS
from support.tiny_run import make_config, make_dataset, make_report

from mmimb.dispatch import Upsample
from mmimb.engine.training import TrainOptions, train
from mmimb.functional import upsampled
from mmimb.losses import BinaryCrossEntropyLoss, DiceLoss, FocalLoss, TverskyLoss
from mmimb.metrics import MultiLabelIoUMetric

CLASSES = ('cat', 'dog', 'truck')
IGNORE = 255
WEIGHTS = [0.5, 2.0, 1.0]
PIXEL = {'bce': BinaryCrossEntropyLoss, 'focal': lambda **common: FocalLoss(use_sigmoid=True, **common)}
REGION = {'dice': (0.5, 0.5, lambda **common: DiceLoss(use_sigmoid=True, **common)),
          'tversky': (0.3, 0.7, lambda **common: TverskyLoss(use_sigmoid=True, **common))}


@TRANSFORMS.register_module(force=True)
class SeveralLabels(BaseTransform):
    def transform(self, results: dict) -> dict:
        label = results['gt_seg_map']
        maps = np.stack([label == 0, label == 1, label >= 1])
        results['gt_seg_map'] = np.where(label == IGNORE, IGNORE, maps).astype(np.int64)
        return results


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(2, 3, 4, 5, generator=g, dtype=torch.float64)
    target = torch.randint(0, 2, (2, 3, 4, 5), generator=g)
    target[:, 1, :2] = IGNORE  # in one map only
    target[0, :, 3] = IGNORE
    return logits, target, torch.rand(2, 4, 5, generator=g, dtype=torch.float64)


def elements(logits: np.ndarray, target: np.ndarray, gamma: float) -> np.ndarray:
    p = 1 / (1 + np.exp(-logits))
    right = np.where(target == 1, p, 1 - p)
    return np.where(target == IGNORE, 0, -(1 - right) ** gamma * np.log(right))


@pytest.mark.parametrize(('name', 'gamma'), [('bce', 0), ('focal', 2)])
def test_pixel_losses_are_means_over_the_labels_that_count(name: str, gamma: float) -> None:
    logits, target, weight = batch()
    each, valid = elements(logits.numpy(), target.numpy(), gamma), (target != IGNORE).numpy()
    build = PIXEL[name]
    np.testing.assert_allclose(build(reduction='none')(logits, target).numpy(), each, rtol=1e-10)
    np.testing.assert_allclose(build()(logits, target).item(), each.sum() / valid.sum(), rtol=1e-10)
    factor = np.array(WEIGHTS).reshape(1, 3, 1, 1) * weight.numpy()[:, None]
    got = build(class_weight=WEIGHTS)(logits, target, weight=weight)
    np.testing.assert_allclose(got.item(), (factor * each).sum() / valid.sum(), rtol=1e-6)
    got = build(class_weight=WEIGHTS, normalize='weights')(logits, target, weight=weight)
    np.testing.assert_allclose(got.item(), (factor * each).sum() / (factor * valid).sum(), rtol=1e-6)


@pytest.mark.parametrize('name', REGION)
def test_region_losses_count_each_map_where_it_is_valid(name: str) -> None:
    alpha, beta, build = REGION[name]
    logits, target, weight = batch()
    p, valid, y = 1 / (1 + np.exp(-logits.numpy())), (target != IGNORE).numpy(), (target == 1).numpy()
    for pixels in (None, weight):
        w = valid * (1.0 if pixels is None else pixels.numpy()[:, None])
        tp, size, mass = ((w * a).sum((0, 2, 3)) for a in (p * y, y, p))
        terms = 1 - (tp + 1e-6) / (tp + alpha * (mass - tp) + beta * (size - tp) + 1e-6)
        np.testing.assert_allclose(build()(logits, target, weight=pixels).item(), terms.mean(), rtol=1e-6)
        weighted = build(class_weight=WEIGHTS)(logits, target, weight=pixels).item()
        np.testing.assert_allclose(weighted, (terms * WEIGHTS).sum() / 3, rtol=1e-6)


@pytest.mark.parametrize('build', [*PIXEL.values(), *(build for *_, build in REGION.values())])
def test_one_label_per_pixel_is_a_special_case(build) -> None:
    logits, target, weight = batch()
    single = target[:, 0].masked_fill(target[:, 0] == 1, 2)
    maps = torch.stack([torch.where(single == IGNORE, IGNORE, (single == c).long()) for c in range(3)], 1)
    loss = build(class_weight=WEIGHTS)
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    values = [loss(leaf, labels, weight=weight) for leaf, labels in zip(leaves, (single, maps), strict=True)]
    if not isinstance(loss, (DiceLoss, TverskyLoss)):  # a region loss takes the largest channel for the prediction there
        torch.testing.assert_close(values[1], values[0])
        sum(values).backward()
        torch.testing.assert_close(leaves[1].grad, leaves[0].grad)
    one = logits[:, :1]
    plain = build()
    assert plain(one, target[:, :1]) == plain(one, target[:, 0])


@pytest.mark.parametrize('build', [*PIXEL.values(), *(build for *_, build in REGION.values())])
def test_ignored_labels_have_no_influence(build) -> None:
    logits, target, weight = batch()
    ignored = target == IGNORE
    leaf = logits.clone().requires_grad_()
    value = build()(leaf, target)
    value.backward()
    assert not leaf.grad[ignored].any()
    assert leaf.grad[~ignored].any()
    assert build()(logits + 3 * ignored, target) == value
    leaf = logits.clone().requires_grad_()
    nothing = build()(leaf, torch.full_like(target, IGNORE))
    nothing.backward()
    assert nothing == 0
    assert not leaf.grad.any()
    everywhere = torch.where(ignored.all(1), float('nan'), weight)
    assert build()(logits, target, weight=everywhere).isfinite()
    with pytest.raises(ValueError, match=r'`target` must be in \[0, 2\) or ignore_index=255, got 2'):
        build()(logits, torch.where(ignored, target, target * 2))


@pytest.mark.parametrize('mode', ['auto', 'strip', 'stock'])
@pytest.mark.parametrize('name', PIXEL)
def test_low_resolution_logits(name: str, mode: str) -> None:
    logits, _, _ = batch()
    g = torch.Generator().manual_seed(4)
    target, weight = torch.randint(0, 2, (2, 3, 9, 11), generator=g), torch.rand(2, 9, 11, generator=g, dtype=torch.float64)
    target[:, 2, :3] = IGNORE
    loss = PIXEL[name](class_weight=WEIGHTS)
    want = loss(upsampled.upsample(logits, (9, 11), False), target, weight=weight)
    torch.testing.assert_close(loss(logits, target, weight=weight, upsample=Upsample(mode)), want)


def test_losses_of_one_label_say_why_and_what_to_use() -> None:
    g = torch.Generator().manual_seed(0)
    logits, target = torch.randn(2, 4, 4, 5, generator=g), torch.randint(0, 2, (2, 4, 4, 5), generator=g)
    accepted = set()
    for case in CASES:
        loss = ROOT.build(dict(case.cfg))
        if loss.needs_one_label:
            with pytest.raises(ValueError, match=r'`target` must have one label for each pixel with .*BinaryCrossEntropy'):
                loss(logits, target)
        else:
            assert loss(logits, target).isfinite()
            accepted.add(str(case))
    assert accepted == {'BinaryCrossEntropyLoss', 'FocalLoss-sigmoid', 'DiceLoss-sigmoid', 'TverskyLoss-sigmoid'}
    with pytest.raises(ValueError, match=r'`target` must have the shape \(N, \*\) of \(N, C, \*\) logits, one label for each'):
        BinaryCrossEntropyLoss()(logits, target[:, :3])


def scored(labels: np.ndarray, logits: np.ndarray, threshold: float) -> dict[str, float]:
    """IoU, accuracy and precision of ``(images, C, H, W)`` arrays, NaN where undefined."""
    valid, predicted = labels != IGNORE, 1 / (1 + np.exp(-logits)) > threshold
    found = {'aAcc': np.mean((predicted == (labels == 1))[valid])}
    for c, name in enumerate(CLASSES):
        v, p, y = valid[:, c], predicted[:, c], labels[:, c] == 1
        hit, union = (v & p & y).sum(), (v & (p | y)).sum()
        with np.errstate(invalid='ignore'):
            found[f'IoU.{name}'], found[f'Acc.{name}'] = hit / union, hit / (v & y).sum()
            found[f'Precision.{name}'] = hit / (v & p).sum()
    found['mIoU'] = np.nanmean([found[f'IoU.{name}'] for name in CLASSES])
    return {key: round(100 * float(value), 2) for key, value in found.items()}


def samples_of(labels: np.ndarray, logits: np.ndarray) -> list[dict]:
    return [{'seg_map_path': f'{i}.png', 'gt_sem_seg': {'data': torch.from_numpy(label)},
             'seg_logits': {'data': torch.from_numpy(z)}} for i, (label, z) in enumerate(zip(labels, logits, strict=True))]


@pytest.mark.parametrize('threshold', [0.5, 0.8])
def test_metric(threshold: float) -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, (4, 3, 6, 7)), rng.normal(size=(4, 3, 6, 7))
    labels[0, 1] = labels[2, :, 3:] = IGNORE
    labels[:, 2] = 0
    logits[:, 2] = -9
    metric = METRICS.build(dict(type='mmimb.MultiLabelIoUMetric', threshold=threshold, stats=dict(pixels=[5, 900, 30])))
    metric.dataset_meta = {'classes': CLASSES}
    samples = samples_of(labels, logits)
    metric.process(None, samples[:3])
    metric.process(None, samples[3:])
    got = metric.evaluate(4)
    want = scored(labels, logits, threshold)
    assert {key: got[key] for key in want} == pytest.approx(want, nan_ok=True)
    assert list(got) == metric.keys()
    assert np.isnan(got['IoU.truck'])
    assert got['mIoU_tail'] == got['IoU.cat']


@pytest.mark.parametrize('way', ['auto', 'stock'])
def test_training_and_validation(way: str, tmp_path) -> None:
    """Each pixel of the tiny dataset has a class and, as a further label, whether it is no road."""
    data = make_dataset(tmp_path / 'data')
    make_report(tmp_path / 'stats.json')
    path = make_config(tmp_path / 'maps.py', data, tmp_path / 'stats.json')
    path.write_text(path.read_text() + textwrap.dedent(f"""
        maps = load[:2] + [dict(type='SeveralLabels')] + load[2:]
        for loader in (train_dataloader, val_dataloader, test_dataloader):
            loader['dataset']['pipeline'] = maps
        model['decode_head'].update(type='mmimb.LossHead', base='FCNHead', upsample={way!r}, loss_decode=[
            dict(type='mmimb.BinaryCrossEntropyLoss'), dict(type='mmimb.DiceLoss', use_sigmoid=True)])
        val_evaluator = test_evaluator = dict(type='mmimb.MultiLabelIoUMetric')
        train_cfg = dict(type='IterBasedTrainLoop', max_iters=120, val_interval=120)
        optim_wrapper['optimizer'] = dict(type='AdamW', lr=0.02)
        """))
    runner = train(TrainOptions(str(path), work_dir=str(tmp_path / 'run')))
    scores = runner.val_loop.run()
    assert scores['mIoU'] > 50
    assert set(scores) >= {'IoU.road', 'IoU.car', 'IoU.sign', 'Precision.sign'}
    assert float(runner.message_hub.get_scalar('train/decode.acc_seg').current()) == pytest.approx(scores['aAcc'], abs=15)


@pytest.mark.parametrize(('change', 'words'), [
    (lambda s: s.pop('seg_logits'), r'0.png: `data_samples` must hold `seg_logits`, got none'),
    (lambda s: s.update(gt_sem_seg={'data': torch.zeros(1, 6, 7)}), r'the shape of the logits, \(3, H, W\), got \(1, 6, 7\)'),
    (lambda s: s['gt_sem_seg']['data'].fill_(2), r'`target` must be 0, 1 or ignore_index=255, got 2')])
def test_metric_names_what_is_wrong(change, words: str) -> None:
    metric = MultiLabelIoUMetric()
    metric.dataset_meta = {'classes': CLASSES}
    (one,) = samples_of(np.zeros((1, 3, 6, 7), np.int64), np.zeros((1, 3, 6, 7)))
    change(one)
    with pytest.raises(ValueError, match=words):
        metric.process(None, [one])
