"""Strips against float64 and eager PyTorch: every formula, dtype, ratio, range and layout."""
from __future__ import annotations

import pytest
import torch
from support.upsampling import FORMULAS, SIZES, VECTOR, arguments, by_definition, by_strips, cleaned, problem, solve
from torch.testing import assert_close

from mmimb.functional import strips, upsampled, walk
from mmimb.testing.tested_loss import IGNORE

each_formula = pytest.mark.parametrize('name', FORMULAS)


@pytest.fixture(autouse=True, params=[1 << 8], ids=['small strips'])
def small_strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several strips for small images too."""
    monkeypatch.setattr(walk, 'STRIP', request.param)
    monkeypatch.setitem(strips.STRIP, 'cpu', request.param)


@each_formula
@pytest.mark.parametrize(('low', 'high'), SIZES)
def test_float64_is_the_definition(name: str, low: tuple[int, int], high: tuple[int, int]) -> None:
    for align_corners in (False, True):
        for spread in (2.0, 200.0, 1e4):
            logits, target, weight = problem(low, high, spread=spread)
            inputs = logits, *cleaned(target, weight)
            got = solve(by_strips, name, *inputs, align_corners=align_corners)
            want = solve(by_definition, name, *inputs, align_corners=align_corners)
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
        exact = solve(by_definition, name, logits.double(), target, weight)
        ours = solve(by_strips, name, logits, target, weight)
        eager = solve(by_definition, name, logits, target, weight)
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


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('gamma', [0.0, 2.0])
def test_a_margin_is_part_of_the_range(gamma: float, dtype: torch.dtype) -> None:
    """Logits and margins that are each in reach of the exponentials, and together are not."""
    for spread in (13.0, 25.0, 39.0) if dtype is torch.float32 else (100.0, 200.0, 290.0):
        for share in (0.2, 0.5, 0.7, 0.9):
            logits, target, weight = problem((4, 5), (16, 20))
            logits = spread * logits.sign()
            inputs = logits.to(dtype), *cleaned(target, weight)
            margin = share * spread * VECTOR
            exact = solve(by_definition, 'cross-entropy', inputs[0].double(), *inputs[1:], margin=margin, gamma=gamma)
            got = solve(by_strips, 'cross-entropy', *inputs, margin=margin.to(dtype), gamma=gamma)
            assert_close(got, exact, rtol=1e-4, atol=1e-4)


@each_formula
@pytest.mark.parametrize('strange', [float('nan'), float('inf'), -float('inf')])
def test_what_is_no_number_neither_stops_training_nor_counts_where_ignored(name: str, strange: float) -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    logits[0, 1, 2, 3] = strange
    target, weight = cleaned(target, weight)
    assert not solve(by_strips, name, logits, target, weight)[0].isfinite()
    weight[0] = 0
    got, want = (solve(way, name, logits[first:], target[first:], weight[first:], **_second(name, first))
                 for way, first in ((by_strips, 0), (by_definition, 1)))
    assert_close(got[0], want[0])
    assert_close(got[1][1:], want[1], rtol=1e-7, atol=1e-11)


def _second(name: str, first: int) -> dict:
    factor = arguments(name, torch.float64).get('factor')
    return {} if factor is None else {'factor': factor[first:]}


def test_every_tier_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for tier in ('multiplied', 'added'):
        original = getattr(walk, tier)
        monkeypatch.setattr(walk, tier, lambda *a, tier=tier, original=original: used.append(tier) or original(*a))
    for spread, offset, name, tiers in [
            (1.0, 0.0, 'cross-entropy', ['multiplied']), (1.0, 1e3, 'cross-entropy', ['multiplied']),
            (100.0, 0.0, 'cross-entropy', ['added']), (1.0, 0.0, 'large margin', ['multiplied']),
            (12.0, 0.0, 'large margin', ['added']), (1.0, 0.0, 'relief', ['added']),
            (1.0, 0.0, 'relief among other scales', []), (1.0, 0.0, 'complement', [])]:
        logits, target, weight = problem((4, 5), (16, 20), spread=spread)
        inputs = (logits + offset).float(), *cleaned(target, weight)
        exact = solve(by_definition, name, inputs[0].double(), *inputs[1:])
        assert_close(solve(by_strips, name, *inputs), exact, rtol=1e-4, atol=1e-4)
        assert sorted(set(used)) == tiers, (spread, offset, name)
        used.clear()


@each_formula
def test_gradcheck(name: str) -> None:
    logits, target, weight = problem((3, 2), (7, 6), spread=1.0)
    target, weight = cleaned(target, weight)
    assert torch.autograd.gradcheck(lambda z: by_strips(name, z, target, weight, **arguments(name, z.dtype)),
                                    logits.requires_grad_())


@each_formula
def test_two_runs_are_bit_equal_and_layouts_agree(name: str) -> None:
    logits, target, weight = problem((5, 6), (20, 24))
    logits = logits.float()
    inputs = cleaned(target, weight)
    first = solve(by_strips, name, logits, *inputs)
    torch.use_deterministic_algorithms(True)
    try:
        again = solve(by_strips, name, logits, *inputs)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(torch.equal, first, again))
    for view in (logits.to(memory_format=torch.channels_last), torch.stack([logits, logits], -1)[..., 0],
                 logits.transpose(2, 3).contiguous().transpose(2, 3)):
        assert_close(solve(by_strips, name, view, *inputs), first, rtol=1e-5, atol=1e-6)
    turned = tuple(x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs)
    assert_close(solve(by_strips, name, logits, *turned), first, rtol=1e-5, atol=1e-6)
    for label in (IGNORE, -1):  # anything stands where nothing counts
        unread = inputs[0].masked_fill(inputs[1] == 0, label)
        assert all(map(torch.equal, solve(by_strips, name, logits, unread, inputs[1]), first))
    assert_close(solve(by_strips, name, logits[1:], *(x[1:] for x in inputs))[1], first[1][1:], rtol=1e-5, atol=1e-6)
