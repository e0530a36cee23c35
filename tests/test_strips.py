"""Strips against float64 and eager float32: every formula, dtype, ratio, range and layout; what autograd may rely on."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from upsampling import SIZES, problem

from mmimb.functional import geometric, strips, upsampled
from mmimb.testing.subject import IGNORE

VECTOR = torch.tensor([0.3, 1.2, 0.7, 1.0], dtype=torch.float64)
FORMULAS: dict[str, tuple[str, dict[str, Any]]] = {
    'cross-entropy': ('cross_entropy', {}),
    'focal': ('cross_entropy', dict(gamma=2.0)),
    'focal, root': ('cross_entropy', dict(gamma=0.5)),
    'margin': ('cross_entropy', dict(scale=torch.full((4,), 1.5), margin=VECTOR)),
    'relief': ('cross_entropy', dict(scale=torch.full((4,), 1.5), margin=VECTOR, relief=VECTOR)),
    'relief alone': ('cross_entropy', dict(relief=VECTOR)),
    'relief among other scales': ('cross_entropy', dict(scale=VECTOR, bias=-VECTOR, relief=VECTOR)),
    'large margin': ('cross_entropy', dict(margin=50 * VECTOR)),
    'scale and bias': ('cross_entropy', dict(scale=VECTOR, bias=-VECTOR)),
    'complement': ('cross_entropy', dict(complement=-1.0)),
    'all of it': ('cross_entropy', dict(scale=VECTOR, bias=VECTOR, margin=VECTOR, gamma=1.5, complement=0.5)),
    'squared error': ('squared_error', dict(labels=20 * VECTOR)),
    'binary': ('binary_cross_entropy', {}),
    'balanced': ('binary_cross_entropy', dict(bias=VECTOR, lam=2.0, gamma=2.0, factor=VECTOR.repeat(2, 1))),
    'balanced by pixel': ('binary_cross_entropy', dict(bias=VECTOR, lam=2.0, factor=VECTOR.repeat(2, 1),
                                                       table=torch.outer(VECTOR, VECTOR))),
}
each_formula = pytest.mark.parametrize('name', FORMULAS)


@pytest.fixture(autouse=True, params=[1 << 8], ids=['small strips'])
def small_strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several strips for small images too."""
    monkeypatch.setattr(geometric, 'STRIP', request.param)
    monkeypatch.setitem(strips.STRIP, 'cpu', request.param)


def arguments(name: str, dtype: torch.dtype) -> dict[str, Any]:
    dtype = torch.promote_types(dtype, torch.float32)
    return {key: value.to(dtype) if isinstance(value, Tensor) else value for key, value in FORMULAS[name][1].items()}


def solve(module: Any, name: str, logits: Tensor, target: Tensor, coefficient: Tensor, *,
          align_corners: bool = False) -> tuple[Tensor, Tensor]:
    """Return value and gradient of a formula as a module computes it, for logits of any dtype."""
    low = logits.detach().requires_grad_()
    exact = torch.promote_types(logits.dtype, torch.float32)
    value = getattr(module, f'upsampled_{FORMULAS[name][0]}')(low, target, coefficient.to(exact), align_corners=align_corners,
                                                             **arguments(name, logits.dtype))
    (grad,) = torch.autograd.grad(value, low)
    assert value.dtype == exact
    assert grad.dtype == logits.dtype
    return value.detach().double(), grad.double()


def cleaned(target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return target.masked_fill(target == IGNORE, 0), weight.masked_fill(target == IGNORE, 0)


@each_formula
@pytest.mark.parametrize(('low', 'high'), SIZES)
def test_float64_is_the_definition(name: str, low: tuple[int, int], high: tuple[int, int]) -> None:
    for align_corners in (False, True):
        for spread in (2.0, 200.0, 1e4):
            logits, target, weight = problem(low, high, spread=spread)
            inputs = logits, *cleaned(target, weight)
            got = solve(strips, name, *inputs, align_corners=align_corners)
            want = solve(upsampled, name, *inputs, align_corners=align_corners)
            assert_close(got[0], want[0], rtol=1e-10, atol=0)
            assert_close(got[1], want[1], rtol=1e-7, atol=1e-11 * spread)


@each_formula
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('spread', [1.0, 12.0, 30.0, 3000.0])
def test_no_less_accurate_than_eager(name: str, dtype: torch.dtype, spread: float) -> None:
    """The largest error, in units of what each element adds up, is at most twice eager's and a few roundings.

    A rounding is that of float32, and in the result that of the dtype; with logits up to R it is R / 16 of them, an eighth of
    what a logit of that size is rounded by.
    """
    for low, high in SIZES[::2]:
        logits, target, weight = problem(low, high, spread=spread)
        logits = logits.to(dtype)
        target, weight = cleaned(target, weight.float().double())
        exact = solve(upsampled, name, logits.double(), target, weight)
        ours = solve(strips, name, logits, target, weight)
        eager = solve(upsampled, name, logits, target, weight)
        reach = float(logits.abs().max())
        steep = 2 * reach + 60 if 'squared' in name else 4.0
        place = torch.zeros_like(logits, dtype=torch.float64).requires_grad_()
        (share,) = torch.autograd.grad(
            (upsampled.upsample(place, target.shape[1:]) * weight.unsqueeze(1)).sum(), place)
        unit = steep * share.clamp(min=1e-3) * 2.0**-23
        rounding = exact[1].abs() * torch.finfo(dtype).eps + float(torch.finfo(dtype).smallest_normal)
        errors = [float((((got - exact[1]).abs() - rounding).clamp(min=0) / unit).max()) for got in (ours[1], eager[1])]
        assert errors[0] <= 2 * errors[1] + 8 + reach / 16, (low, high, errors)
        unit = float(weight.sum()) * (1 + reach) * steep * 2.0**-23
        errors = [abs(float(got - exact[0])) / unit for got in (ours[0], eager[0])]
        assert errors[0] <= 2 * errors[1] + 4, (low, high, errors)


def test_every_tier_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for tier in ('multiplied', 'added'):
        original = getattr(geometric, tier)
        monkeypatch.setattr(geometric, tier, lambda *a, tier=tier, original=original: used.append(tier) or original(*a))
    for spread, offset, name, tiers in [
            (1.0, 0.0, 'cross-entropy', ['multiplied']), (1.0, 1e3, 'cross-entropy', ['multiplied']),
            (100.0, 0.0, 'cross-entropy', ['added']), (1.0, 0.0, 'large margin', ['multiplied']),
            (12.0, 0.0, 'large margin', ['added']), (1.0, 0.0, 'relief', ['added']),
            (1.0, 0.0, 'relief among other scales', []), (1.0, 0.0, 'complement', [])]:
        logits, target, weight = problem((4, 5), (16, 20), spread=spread)
        inputs = (logits + offset).float(), *cleaned(target, weight)
        exact = solve(upsampled, name, inputs[0].double(), *inputs[1:])
        assert_close(solve(strips, name, *inputs), exact, rtol=1e-4, atol=1e-4)
        assert sorted(set(used)) == tiers, (spread, offset, name)
        used.clear()


@each_formula
def test_gradcheck(name: str) -> None:
    logits, target, weight = problem((3, 2), (7, 6), spread=1.0)
    function = getattr(strips, f'upsampled_{FORMULAS[name][0]}')
    target, weight = cleaned(target, weight)
    assert torch.autograd.gradcheck(lambda z: function(z, target, weight, **arguments(name, z.dtype)), logits.requires_grad_())


@each_formula
def test_two_runs_are_bit_equal_and_layouts_agree(name: str) -> None:
    logits, target, weight = problem((5, 6), (20, 24))
    logits = logits.float()
    inputs = cleaned(target, weight)
    first = solve(strips, name, logits, *inputs)
    torch.use_deterministic_algorithms(True)
    try:
        again = solve(strips, name, logits, *inputs)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(torch.equal, first, again))
    for view in (logits.to(memory_format=torch.channels_last), torch.stack([logits, logits], -1)[..., 0],
                 logits.transpose(2, 3).contiguous().transpose(2, 3)):
        assert_close(solve(strips, name, view, *inputs), first, rtol=1e-5, atol=1e-6)
    turned = tuple(x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs)
    assert_close(solve(strips, name, logits, *turned), first, rtol=1e-5, atol=1e-6)
    for label in (IGNORE, -1):  # anything stands where nothing counts
        unread = inputs[0].masked_fill(inputs[1] == 0, label)
        assert all(map(torch.equal, solve(strips, name, logits, unread, inputs[1]), first))
    assert_close(solve(strips, name, logits[1:], *(x[1:] for x in inputs))[1], first[1][1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['cross-entropy', 'squared error', 'binary'])
def test_nothing_is_kept_or_computed_without_a_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = strips._fused
    monkeypatch.setattr(strips, '_fused', lambda logits, compute: original(
        logits, lambda low, gradient: asked.append(gradient) or compute(low, gradient)))
    logits, target, weight = problem((4, 5), (16, 20))
    low = logits.requires_grad_()
    function = getattr(strips, f'upsampled_{FORMULAS[name][0]}')
    value = function(low, *cleaned(target, weight), **arguments(name, low.dtype))
    with torch.no_grad():
        frozen = function(low, *cleaned(target, weight), **arguments(name, low.dtype))
    plain = function(low.detach(), *cleaned(target, weight), **arguments(name, low.dtype))
    assert asked == [True, False, False]
    assert value.requires_grad
    assert not frozen.requires_grad
    assert not plain.requires_grad
    assert value == frozen == plain


def test_factors_of_the_gradient() -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    low = logits.float().requires_grad_()
    value = strips.upsampled_cross_entropy(low, *cleaned(target, weight.float()))
    (one,) = torch.autograd.grad(value, low, retain_graph=True)
    kept = one.clone()
    (three,) = torch.autograd.grad(3 * value, low, retain_graph=True)
    assert torch.equal(one, kept)
    assert_close(three, 3 * kept)
    value.backward(torch.tensor(0.5), retain_graph=True)
    assert_close(low.grad, 0.5 * kept)
    low.grad = None
    value.backward(retain_graph=True)
    low.grad.mul_(0)  # as an optimizer's zero_grad(set_to_none=False) does
    value.backward()
    assert_close(low.grad, kept)
    low.grad = None
    with pytest.raises(RuntimeError, match='second time'):
        value.backward()


def test_a_loss_scale_rescues_small_half_gradients() -> None:
    """Scaled before it is rounded: 1e-9 is no float16, 6e-5 is."""
    logits, target, weight = problem((4, 5), (16, 20))
    target, weight = cleaned(target, weight.float() * 1e-9)
    low = logits.half().requires_grad_()
    (strips.upsampled_cross_entropy(low, target, weight) * 2.0**16).backward()
    exact = solve(upsampled, 'cross-entropy', logits.half().double(), target, weight.double())[1]
    assert float(low.grad.abs().max()) > 0
    assert_close(low.grad.double(), exact * 2.0**16, rtol=1e-2, atol=1e-7)


def test_autocast_changes_nothing() -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    for name in ('cross-entropy', 'squared error', 'binary'):
        plain = solve(strips, name, logits.float(), *cleaned(target, weight))
        with torch.autocast('cpu', torch.bfloat16):
            assert all(map(torch.equal, solve(strips, name, logits.float(), *cleaned(target, weight)), plain))


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('low', 'high'), SIZES)
def test_argmax(low: tuple[int, int], high: tuple[int, int], align_corners: bool) -> None:
    logits = torch.randn(2, 21, *low)
    want = upsampled.upsample(logits, high, align_corners).argmax(1)
    assert torch.equal(strips.upsampled_argmax(logits, high, align_corners=align_corners), want)
