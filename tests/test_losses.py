"""Identities between the losses, what class weights mean in each family, and corners of single losses."""
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import STATS, cross_entropy, per_pixel
from mmengine.registry import MODELS

from mmimb.testing.tested_loss import IGNORE, Subject, call, value_and_grad

LOGITS, TARGET = Subject({}).batch()
VALID = TARGET != IGNORE
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)


def value(name: str, logits: torch.Tensor = LOGITS, target: torch.Tensor = TARGET, *, how: str | None = None,
          weight: torch.Tensor | None = None, **cfg: object) -> torch.Tensor:
    return call(MODELS.build(dict(type=f'mmimb.{name}', **cfg)), logits, target, reduction_override=how, weight=weight)


@pytest.mark.parametrize(('name', 'cfg', 'other', 'other_cfg'), [
    ('ELMLoss', dict(stats=STATS, lam=0), 'LDAMLoss', dict(stats=STATS)),
    ('LDAMLoss', dict(stats=STATS, max_margin=0, scale=1), 'CrossEntropyLoss', {}),
    ('LogitAdjustmentLoss', dict(stats=STATS, tau=0), 'CrossEntropyLoss', {}),
    ('FocalLoss', dict(gamma=0), 'CrossEntropyLoss', {}),
    ('VSLoss', dict(stats=STATS, gamma=0, tau=0), 'CrossEntropyLoss', {}),
    ('VSLoss', dict(stats=STATS, gamma=0), 'LogitAdjustmentLoss', dict(stats=STATS)),
    ('ComplementCrossEntropyLoss', dict(gamma=0), 'CrossEntropyLoss', {}),
    ('OhemCrossEntropyLoss', {}, 'CrossEntropyLoss', {}),
    ('FocalLoss', dict(gamma=0, use_sigmoid=True), 'BinaryCrossEntropyLoss', {}),
    ('TverskyLoss', dict(alpha=0.5, beta=0.5), 'DiceLoss', {}),
    ('TverskyLoss', dict(alpha=0.5, beta=0.5, use_sigmoid=True), 'DiceLoss', dict(use_sigmoid=True)),
])
def test_identities(name, cfg, other, other_cfg) -> None:
    torch.testing.assert_close(value(name, **cfg), value(other, **other_cfg), rtol=1e-12, atol=0)


def test_two_classes_have_no_complement() -> None:
    logits, target = Subject({}, num_classes=2).batch()
    ours = MODELS.build(dict(type='mmimb.ComplementCrossEntropyLoss'))
    stock = MODELS.build(dict(type='mmimb.CrossEntropyLoss'))
    for got, want in zip(value_and_grad(ours, logits, target), value_and_grad(stock, logits, target), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-15)


def test_complement_entropy_does_not_move_the_label() -> None:
    """Confident pixels, where the authors' code is NaN: finite, and no gradient to the label from the entropy."""
    for gap in (20.0, 120.0):
        logits = torch.tensor([[gap, 0.0, -3.0, 1.0]], requires_grad=True)
        loss = MODELS.build(dict(type='mmimb.ComplementCrossEntropyLoss'))(logits, torch.tensor([0]))
        loss.backward()
        exact = F.cross_entropy(logits.detach().double(), torch.tensor([0])).item() - 0.6448021178548701 / 3
        assert loss.item() == pytest.approx(exact, rel=1e-6)
        assert logits.grad.isfinite().all()
    probe = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    from mmimb.functional import complement_entropy
    complement_entropy(probe, torch.tensor([2])).sum().backward()
    assert probe.grad[0, 2] == 0
    assert probe.grad[0, 0] != 0


@pytest.mark.parametrize('cfg', [dict(type='BinaryCrossEntropyLoss'), dict(type='FocalLoss', use_sigmoid=True),
                                 dict(type='DistributionBalancedLoss', stats=STATS)])
def test_class_weight_of_sigmoid_losses_belongs_to_channels(cfg) -> None:
    """The loss with weight e_c alone is channel c's share; shares add up with any weights."""
    cfg = dict(cfg)
    name = cfg.pop('type')
    shares = [value(name, how='none', class_weight=row, **cfg) for row in torch.eye(4).tolist()]
    torch.testing.assert_close(sum(shares), value(name, how='none', **cfg))
    weighted = value(name, how='none', class_weight=WEIGHTS.tolist(), **cfg)
    torch.testing.assert_close(weighted, sum(w * share for w, share in zip(WEIGHTS, shares, strict=True)))
    mean = value(name, class_weight=WEIGHTS.tolist(), normalize='weights', **cfg)
    torch.testing.assert_close(mean, weighted.sum() / (VALID.sum() * WEIGHTS.mean()))
    if name == 'BinaryCrossEntropyLoss':
        z = LOGITS[0, :, 3, 4]
        channel = F.binary_cross_entropy_with_logits(z[1], (TARGET[0, 3, 4] == 1).double()) / 4
        torch.testing.assert_close(shares[1][0, 3, 4], channel)


@pytest.mark.parametrize('channels', [2, 3])
def test_normalize_of_sigmoid_losses_divides_by_the_mean_channel_weight(channels) -> None:
    logits, target = Subject({}, num_classes=channels).batch()
    weights = [1.0, 3.0, 2.0][:channels]
    per_channel = F.binary_cross_entropy_with_logits(logits, (target.unsqueeze(1) == torch.arange(channels).view(1, -1, 1, 1)
                                                              ).double(), reduction='none')
    weighted = (per_channel * torch.tensor(weights).view(1, -1, 1, 1)).mean(1)[target != IGNORE]
    got = value('BinaryCrossEntropyLoss', logits, target, class_weight=weights, normalize='weights')
    torch.testing.assert_close(got, weighted.sum() / (len(weighted) * np.mean(weights)))


@pytest.mark.parametrize('presence', ['image', 'pixel'])
def test_class_weight_of_distribution_balanced_channels(presence) -> None:
    """With weight on channel c alone, the gradient is in channel c alone."""
    for c in range(4):
        loss = MODELS.build(dict(type='mmimb.DistributionBalancedLoss', stats=STATS, presence=presence,
                                 class_weight=torch.eye(4)[c].tolist()))
        _, grad = value_and_grad(loss, LOGITS, TARGET)
        assert [bool(grad[:, k].any()) for k in range(4)] == [k == c for k in range(4)]


def test_class_weight_of_one_channel_belongs_to_labels() -> None:
    target = TARGET.where(~VALID, TARGET % 2)
    none = value('BinaryCrossEntropyLoss', LOGITS[:, :1], target, how='none')
    torch.testing.assert_close(none[VALID], F.binary_cross_entropy_with_logits(
        LOGITS[:, 0][VALID], target[VALID].double(), reduction='none'))
    weighted = value('BinaryCrossEntropyLoss', LOGITS[:, :1], target, how='none', class_weight=[1.0, 5.0])
    torch.testing.assert_close(weighted, none * (1 + 4 * (target == 1)))
    with pytest.raises(ValueError, match=r'`class_weight` must have one entry per class \(2\), got 1'):
        value('BinaryCrossEntropyLoss', LOGITS[:, :1], target, class_weight=[1.0])


@pytest.mark.parametrize('name', ['DiceLoss', 'TverskyLoss', 'LovaszLoss'])
def test_class_weight_of_region_losses_belongs_to_terms(name) -> None:
    terms = [value(name, how='sum', class_weight=row) for row in torch.eye(4).tolist()]
    torch.testing.assert_close(sum(terms) / 4, value(name))
    weighted = sum(w * term for w, term in zip(WEIGHTS, terms, strict=True))
    torch.testing.assert_close(value(name, class_weight=WEIGHTS.tolist()), weighted / 4)
    torch.testing.assert_close(value(name, class_weight=WEIGHTS.tolist(), normalize='weights'), weighted / WEIGHTS.sum())


@pytest.mark.parametrize('name', ['DiceLoss', 'TverskyLoss', 'LovaszLoss'])
@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_pixel_weight_of_region_losses_counts_pixels(name, use_sigmoid) -> None:
    """Weight 0 is an ignored pixel, weight 2 a pixel that is there twice."""
    drop = torch.zeros_like(VALID)
    drop[:, 3:] = True
    got = value(name, weight=(~drop).double(), use_sigmoid=use_sigmoid)
    torch.testing.assert_close(got, value(name, LOGITS, TARGET.masked_fill(drop, IGNORE), use_sigmoid=use_sigmoid))
    twice = torch.cat([LOGITS, LOGITS[:, :, 3:]], 2), torch.cat([TARGET, TARGET[:, 3:]], 1)
    torch.testing.assert_close(value(name, weight=1 + drop.double(), use_sigmoid=use_sigmoid),
                               value(name, *twice, use_sigmoid=use_sigmoid))


@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('name', ['DiceLoss', 'TverskyLoss', 'LovaszLoss'])
def test_weights_of_ignored_pixels_can_be_anything(name, use_sigmoid) -> None:
    logits, target = Subject({}).batch()
    weight = torch.rand(target.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(2))
    loss = MODELS.build(dict(type=f'mmimb.{name}', use_sigmoid=use_sigmoid))
    results = []
    for ignored in (0.0, float('nan'), float('inf')):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf, target, weight=weight.masked_fill(target == IGNORE, ignored))
        results.append((value, *torch.autograd.grad(value, leaf)))
    torch.testing.assert_close(results[1:], [results[0]] * 2, rtol=0, atol=0)


@pytest.mark.parametrize('name', ['DiceLoss', 'TverskyLoss', 'LovaszLoss'])
def test_a_class_in_neither_label_nor_prediction_is_left_out(name) -> None:
    logits = torch.cat([LOGITS, torch.full_like(LOGITS[:, :1], -1e4)], 1)
    torch.testing.assert_close(value(name, logits), value(name))


def test_a_class_that_is_only_predicted_counts_in_dice() -> None:
    logits = torch.cat([LOGITS, LOGITS[:, :1] + 1], 1)
    five, four = value('DiceLoss', logits, how='sum'), value('DiceLoss', logits, how='sum', class_weight=[1.0] * 4 + [0.0])
    assert (five - four).item() == pytest.approx(1, abs=1e-6)


def test_region_losses_say_what_they_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"`reduction` must be 'mean' or 'sum' for DiceLoss .*OHEM sampler.*got 'none'"):
        value('DiceLoss', how='none')
    with pytest.raises(ValueError, match='`sync_avg` must be False for LovaszLoss'):
        value('LovaszLoss', sync_avg=True)


def test_ohem_keeps_the_hardest() -> None:
    confidence = (-F.cross_entropy(LOGITS, TARGET, ignore_index=IGNORE, reduction='none')).exp()
    plain = torch.from_numpy(per_pixel(cross_entropy)(LOGITS.numpy(), TARGET.numpy()))
    for thresh, min_kept in ((0.1, 1), (0.5, 1), (0.5, 30), (1e-9, 7), (1e-9, 1000)):
        got = value('OhemCrossEntropyLoss', how='none', thresh=thresh, min_kept=min_kept)
        bound = np.sort(confidence[VALID].numpy())[min(min_kept, int(VALID.sum())) - 1]
        kept = VALID & ((confidence < thresh) | (confidence <= bound))
        torch.testing.assert_close(got, plain * kept)
        torch.testing.assert_close(value('OhemCrossEntropyLoss', thresh=thresh, min_kept=min_kept), got.sum() / kept.sum())
    with pytest.raises(ValueError, match='`sync_avg` must be False for OhemCrossEntropyLoss'):
        value('OhemCrossEntropyLoss', sync_avg=True)


@pytest.mark.parametrize(('name', 'cfg', 'words'), [
    ('FocalLoss', dict(gamma=-1), '`gamma` must be a finite number at least 0, got -1'),
    ('FocalLoss', dict(gamma=float('nan')), '`gamma` must be a finite number'),
    ('ComplementCrossEntropyLoss', dict(gamma='big'), '`gamma` must be a finite number'),
    ('LDAMLoss', dict(stats=STATS, scale=0), '`scale` must be a finite number above 0'),
    ('LDAMLoss', dict(stats=STATS, max_margin=-0.1), '`max_margin` must be a finite number at least 0'),
    ('ELMLoss', dict(stats=STATS, lam=float('inf')), '`lam` must be a finite number'),
    ('LogitAdjustmentLoss', dict(stats=STATS, tau=True), '`tau` must be a finite number'),
    ('VSLoss', dict(stats=STATS, gamma=-1), '`gamma` must be a finite number at least 0'),
    ('OhemCrossEntropyLoss', dict(thresh=1.5), '`thresh` must be a finite number above 0 and at most 1'),
    ('OhemCrossEntropyLoss', dict(min_kept=0), '`min_kept` must be at least 1, got 0'),
    ('DistributionBalancedLoss', dict(stats=STATS, presence='crop'), "`presence` must be 'image' or 'pixel', got 'crop'"),
    ('DistributionBalancedLoss', dict(stats=STATS, counts='masks'), "`counts` must be 'images' or 'pixels', got 'masks'"),
    ('DistributionBalancedLoss', dict(stats=dict(pixels=[1, 2, 3, 4])), '`stats` must hold `images`'),
    ('DistributionBalancedLoss', dict(stats=dict(pixels=[9] * 4, images=[1] * 4)), '`stats` must hold `num_images`'),
    ('TverskyLoss', dict(alpha=-1), '`alpha` must be a finite number at least 0'),
    ('TverskyLoss', dict(alpha=0, beta=0), '`alpha` or `beta` must be above 0, got 0 for both'),
    ('LogitAdjustmentLoss', dict(stats=STATS, tau=-1), '`tau` must be a finite number at least 0'),
    ('DistributionBalancedLoss', dict(stats=STATS, beta=0), '`beta` must be a finite number above 0'),
    ('CrossEntropyLoss', dict(loss_weight='x'), "`loss_weight` must be a finite number, got 'x'"),
    ('CrossEntropyLoss', dict(loss_weight=float('nan')), '`loss_weight` must be a finite number, got nan'),
    ('CrossEntropyLoss', dict(loss_name=3), "`loss_name` must contain 'loss'"),
    ('CrossEntropyLoss', dict(sync_avg='no'), '`sync_avg` must be True or False'),
    ('TverskyLoss', dict(gamma=0), '`gamma` must be a finite number above 0'),
    ('LDAMLoss', dict(stats=[1, 2]), '`stats` must be a report path, a ClassStats or a dict'),
])
def test_arguments_out_of_range_are_named(name, cfg, words) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        value(name, **cfg)


def test_statistics_are_required() -> None:
    with pytest.raises(TypeError, match='stats'):
        value('LDAMLoss')


@pytest.mark.parametrize('name', ['OutlyingMSELoss', 'LDAMLoss', 'ELMLoss', 'LogitAdjustmentLoss', 'VSLoss',
                                  'DistributionBalancedLoss'])
@pytest.mark.parametrize('counts', [dict(pixels=[50, 0, 7, 0], images=[5, 0, 2, 0], num_images=5),
                                    dict(pixels=[0, 0, 0, 9], images=[0, 0, 0, 1], num_images=1),
                                    dict(pixels=[9, 9, 9, 9], images=[3, 3, 3, 3], num_images=3)])
def test_zero_counts_ties_and_classes_in_every_image_stay_finite(name, counts) -> None:
    loss = MODELS.build(dict(type=f'mmimb.{name}', stats=counts))
    for result in value_and_grad(loss, LOGITS, TARGET):
        assert result.isfinite().all()


def test_labels_must_be_integers() -> None:
    with pytest.raises(TypeError, match=r'`target` must hold integer labels, got torch\.float32'):
        value('CrossEntropyLoss', target=TARGET.float())
    for dtype in (torch.uint8, torch.int32):
        assert value('CrossEntropyLoss', target=TARGET.to(dtype)) == value('CrossEntropyLoss')
    assert value('CrossEntropyLoss', ignore_index=np.int64(255)) == value('CrossEntropyLoss')


def test_distribution_balance_needs_a_channel_per_class() -> None:
    with pytest.raises(ValueError, match='`logits` must have a channel per class for DistributionBalancedLoss'):
        value('DistributionBalancedLoss', LOGITS[:, :1], TARGET.where(~VALID, TARGET % 2), stats=STATS)


def test_batch_with_one_class_only() -> None:
    target = torch.where(VALID, 2, IGNORE)
    for name in ('DiceLoss', 'TverskyLoss', 'LovaszLoss', 'CrossEntropyLoss', 'ComplementCrossEntropyLoss'):
        for result in value_and_grad(MODELS.build(dict(type=f'mmimb.{name}')), LOGITS, target):
            assert result.isfinite().all()


def test_presence_and_counts_have_their_own_meaning() -> None:
    """Two images with different classes: image presence weighs them differently, pixel presence does not know images."""
    target = TARGET.clone()
    target[1] = torch.where(TARGET[1] == IGNORE, IGNORE, 0)
    image = value('DistributionBalancedLoss', target=target, how='none', stats=STATS)
    alone = value('DistributionBalancedLoss', LOGITS[1:], target[1:], how='none', stats=STATS)
    torch.testing.assert_close(image[1:], alone)
    changed = value('DistributionBalancedLoss', target=target.masked_fill(target == 3, IGNORE), how='none', stats=STATS)
    both = (target != 3) & VALID
    assert not torch.allclose(changed[0][both[0]], image[0][both[0]])
    pixel = value('DistributionBalancedLoss', target=target, how='none', stats=STATS, presence='pixel')
    fewer = value('DistributionBalancedLoss', target=target.masked_fill(target == 3, IGNORE), how='none', stats=STATS,
                  presence='pixel')
    torch.testing.assert_close(fewer[both], pixel[both])
