"""What autograd may rely on from the losses by strips: when they compute a gradient, and what becomes of it."""
from __future__ import annotations

import pytest
import torch
from support.upsampling import FORMULAS, SIZES, arguments, cleaned, problem, solve
from torch.testing import assert_close

from mmimb.functional import strips, upsampled


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


@pytest.mark.parametrize('name', ['cross-entropy', 'squared error', 'binary'])
def test_a_second_derivative_is_refused(name: str) -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    low = logits.requires_grad_()
    value = getattr(strips, f'upsampled_{FORMULAS[name][0]}')(low, *cleaned(target, weight), **arguments(name, low.dtype))
    with pytest.raises(RuntimeError, match=r"`upsample` must be 'stock' for second derivatives, got .* create_graph=True"):
        torch.autograd.grad(value, low, create_graph=True)


@pytest.mark.parametrize('name', FORMULAS)
def test_devices_are_those_of_the_logits(name: str) -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    inputs = logits, *cleaned(target, weight)
    with torch.device('meta'):
        got = solve(strips, name, *inputs)
    want = solve(upsampled, name, *inputs)
    assert_close(got, want, rtol=1e-7, atol=1e-9)


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
