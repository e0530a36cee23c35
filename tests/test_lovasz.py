"""The Lovász extension with errors in buckets, held against the definition in float64 numpy."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from support.upsampling import problem
from torch import Tensor
from torch.testing import assert_close

from mmimb.dispatch import Upsample
from mmimb.functional import lovasz, lovasz_loss, positive_channels, upsampled
from mmimb.functional.lovasz import BUCKETS, bucketed_slopes
from mmimb.losses import LovaszLoss

USUAL = ('random', 'start', 'trained', 'rare')
FLAT = ('flat', 'one bucket')  # errors that differ by less than a bucket


def binary(kind: str, seed: int = 0, pixels: int = 6000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probabilities of one class, which pixels are in it, and pixel weights of which some are 0."""
    rng = np.random.default_rng(seed)
    inside = rng.random(pixels) < (0.003 if kind == 'rare' else 0.3)
    inside[0] = True
    if kind == 'one bucket':  # the pixels inside have the smaller errors, all of them less than a bucket apart
        prob = 0.5 + (0.2 + 0.6 * rng.random(pixels)) / BUCKETS
        prob[inside] = 1 - (0.5 + 0.1 / BUCKETS * rng.random(inside.sum()))
    else:
        score = {'random': 1.0, 'start': 0.05, 'flat': 1e-3, 'trained': 3.0, 'rare': 2.0}[kind] * rng.standard_normal(pixels)
        shift = {'trained': 6.0, 'rare': 3.0}.get(kind, 0.0)
        prob = 1 / (1 + np.exp(-(score + np.where(inside, shift, -shift))))
    weight = np.where(rng.random(pixels) < 0.05, 0.0, 1.0)
    weight[0] = 1
    return prob, inside, weight


def error(prob: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.abs(prob - inside)


def extension(errors: np.ndarray, inside: np.ndarray, weight: np.ndarray) -> float:
    """The Lovász extension as the integral of the Jaccard loss of the pixels with an error above t, over t."""
    levels = np.unique(errors)[::-1]
    order = np.argsort(-errors, kind='stable')
    last = np.searchsorted(-errors[order], -levels, side='right')
    wrong_inside = np.concatenate([[0], np.cumsum((weight * inside)[order])])[last]
    wrong_outside = np.concatenate([[0], np.cumsum((weight * ~inside)[order])])[last]
    size = (weight * inside).sum()
    jaccard = 1 - (size - wrong_inside) / (size + wrong_outside)
    return float((jaccard * (levels - np.append(levels[1:], 0))).sum())


def tensors(*arrays: np.ndarray, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """``(1, 1, P)`` probabilities and masks, and ``(1, P)`` weights."""
    prob, inside, weight = arrays
    return [torch.from_numpy(prob).to(dtype)[None, None], torch.from_numpy(inside)[None, None],
            torch.from_numpy(weight).to(dtype)[None]]


def slopes(prob: np.ndarray, inside: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The bucketed derivatives by the errors."""
    slope = bucketed_slopes(*tensors(prob, inside, weight))[0, 0].numpy()
    return np.where(inside, -slope, slope)


@pytest.mark.parametrize('kind', USUAL + FLAT)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_at_most_a_bucket_below_the_definition(kind: str, dtype: torch.dtype) -> None:
    prob, inside, weight = binary(kind)
    want = extension(error(prob, inside), inside, weight)
    rounding = 1e-12 if dtype == torch.float64 else 1e-6
    exact, got = (lovasz_loss(*tensors(prob, inside, weight, dtype=dtype), exact=how)[0].item() for how in (True, False))
    assert exact == pytest.approx(want, abs=rounding)
    assert -rounding <= want - got <= 1 / BUCKETS + rounding
    assert want - got < 1e-5 or kind in FLAT  # what to expect, which is far below the bound


def test_the_bound_is_about_errors_of_one_bucket() -> None:
    """The case that the bound is for: the order inside a bucket decides everything, and the value is off by a part of it."""
    prob, inside, weight = binary('one bucket')
    got = lovasz_loss(*tensors(prob, inside, weight))[0].item()
    assert 1e-6 < extension(error(prob, inside), inside, weight) - got < 1 / BUCKETS


@pytest.mark.parametrize('kind', USUAL + FLAT)
def test_the_gradient_is_one_of_the_definition_nearby(kind: str) -> None:
    prob, inside, weight = binary(kind)
    slope, rng = slopes(prob, inside, weight), np.random.default_rng(1)
    assert (slope >= 0).all()
    assert slope.sum() == pytest.approx(1)
    assert (slope[weight == 0] == 0).all()
    for _ in range(20):  # no errors have a smaller loss than these slopes say
        other = rng.random(len(prob)) ** rng.choice([0.1, 1, 10])
        assert (slope * other).sum() <= extension(other, inside, weight) + 1e-12
    near = (np.minimum(np.floor(error(prob, inside) * BUCKETS), BUCKETS - 1) + 0.5) / BUCKETS
    assert np.abs(near - error(prob, inside)).max() <= 0.5 / BUCKETS + 1e-12
    assert (slope * near).sum() == pytest.approx(extension(near, inside, weight), rel=1e-9)  # and these are met


@pytest.mark.parametrize('kind', USUAL)
def test_the_gradient_of_the_probabilities_is_close_to_the_exact_one(kind: str) -> None:
    grads = []
    for how in (True, False):
        prob, inside, weight = tensors(*binary(kind, pixels=100_000), dtype=torch.float32)
        score = prob.logit().requires_grad_()
        lovasz_loss(score.sigmoid(), inside, weight, exact=how)[0].sum().backward()
        assert score.grad is not None
        grads.append(score.grad)
    assert (grads[0] - grads[1]).abs().sum() < 5e-3 * grads[0].abs().sum()
    assert torch.cosine_similarity(*(grad.flatten() for grad in grads), dim=0) > 0.999


@pytest.mark.parametrize('exact', [True, False])
def test_pixel_weights_count_pixels(exact: bool) -> None:
    prob, inside, weight = binary('trained', pixels=400)
    often = np.where(weight > 0, 1 + np.arange(400) % 3, 0)
    copies = [np.repeat(array, often) for array in (prob, inside, np.ones(400))]
    got, want = (lovasz_loss(*tensors(*arrays), exact=exact)[0] for arrays in ((prob, inside, 0.1 * often), copies))
    assert_close(got, want, rtol=1e-9, atol=0)


def test_pixels_with_the_same_error_share() -> None:
    """A sort would give most to the pixel that happens to come first."""
    inside = np.array([True, True, False, False, False])
    slope = slopes(np.where(inside, 0.3, 0.7), inside, np.ones(5))
    assert slope[0] == slope[1] == pytest.approx(np.log(5 / 2) / 3)  # the mean of 1 / u for a union from 2 to 5
    assert slope[2] == slope[3] == slope[4] == pytest.approx((1 - 2 * slope[0]) / 3)


def test_the_order_of_the_pixels_does_not_change_a_bit() -> None:
    g = torch.Generator().manual_seed(0)
    logits, target = torch.randn(2, 5, 40_000, generator=g), torch.randint(0, 5, (2, 40_000), generator=g)
    order = torch.randperm(40_000, generator=g)
    grads = []
    for z, y in ((logits, target), (logits[..., order], target[..., order])):
        leaf = z.clone().requires_grad_()
        LovaszLoss()(leaf, y).backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[0][..., order], grads[1])


@pytest.mark.parametrize('exact', [True, False])
def test_classes_without_a_label_need_not_be_computed(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(0)
    prob, target = torch.randn(2, 9, 300, generator=g).softmax(1), torch.randint(0, 3, (2, 300), generator=g) * 2
    arguments = prob, positive_channels(prob, target), torch.ones(2, 300)
    calls = []
    name = 'sorted_slopes' if exact else 'bucketed_slopes'
    compute = getattr(lovasz, name)
    monkeypatch.setattr(lovasz, name, lambda prob, *rest: calls.append(prob.shape[1]) or compute(prob, *rest))
    some, labelled = lovasz_loss(*arguments, exact=exact)
    assert labelled.nonzero().flatten().tolist() == [0, 2, 4]
    assert sum(calls) == 3
    monkeypatch.setattr(lovasz, 'classes_to_compute', lambda labelled: torch.arange(len(labelled)))
    every, _ = lovasz_loss(*arguments, exact=exact)
    assert sum(calls) == 12
    assert torch.equal(some[labelled], every[labelled])
    assert (some[~labelled] == 0).all()


def test_the_size_of_a_chunk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(0)
    prob, target = torch.randn(2, 9, 300, generator=g).softmax(1), torch.randint(0, 9, (2, 300), generator=g)
    arguments = prob, positive_channels(prob, target), torch.ones(2, 300)
    want, _ = lovasz_loss(*arguments)
    for pixels in (1, 1300):
        monkeypatch.setattr(lovasz, 'CHUNK', {'cpu': pixels})
        assert_close(lovasz_loss(*arguments)[0], want)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('mode', ['stock', 'strip'])
def test_logits_that_are_no_numbers_give_a_loss_that_is_none(value: float, mode: str) -> None:
    logits, target, _ = problem((4, 5), (9, 12))
    logits[0, 0, 0, 0] = value
    target[0, 0, 0] = 0
    loss = LovaszLoss()(logits, target, upsample=Upsample(mode))
    assert loss.isnan() or value == -float('inf')


LOW = [dict(), dict(use_sigmoid=True), dict(class_weight=[0.5, 2.0, 1.0, 3.0], normalize='weights'), dict(reduction='sum')]


@pytest.mark.parametrize('common', LOW, ids=lambda common: '-'.join(common) or 'plain')
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_low_resolution_is_the_same_loss(common: dict, align_corners: bool, dtype: torch.dtype) -> None:
    logits, target, weight = problem((4, 5), (33, 42))
    low = logits.to(dtype).requires_grad_()
    loss = LovaszLoss(**common)
    rtol = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    for extra in (dict(), dict(weight=weight), *([] if 'reduction' in common else [dict(avg_factor=7.0)])):
        got = loss(low, target, **extra, upsample=Upsample('strip', align_corners))
        want = loss(upsampled.upsample(low, target.shape[1:], align_corners), target, **extra)
        assert_close(got, want, rtol=min(rtol, 1e-5), atol=0)
        grads = [torch.autograd.grad(value, low)[0] for value in (got, want)]
        largest = grads[1].abs().max().item()
        assert_close(*grads, rtol=rtol, atol=1e-9 if dtype == torch.float64 else max(rtol, 1e-3) * largest)


def test_low_resolution_of_one_channel() -> None:
    logits, target, _ = problem((4, 5), (33, 42))
    low, target = logits[:, :1].clone().requires_grad_(), torch.where(target == 255, 255, target % 2)
    loss = LovaszLoss(use_sigmoid=True, class_weight=[1.0, 3.0])
    got = loss(low, target, upsample=Upsample('strip'))
    want = loss(upsampled.upsample(low, target.shape[1:]), target)
    assert_close(got, want)
    assert_close(*(torch.autograd.grad(value, low)[0] for value in (got, want)))


def test_low_resolution_has_no_kernel() -> None:
    logits, target, _ = problem((4, 5), (9, 12))
    with pytest.raises(ValueError, match=r"`upsample` must be 'strip', 'stock' or 'auto' here .*got 'fused'"):
        LovaszLoss()(logits, target, upsample=Upsample('fused'))
