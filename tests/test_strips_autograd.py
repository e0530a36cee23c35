"""What autograd may rely on from the losses by strips: when they compute a gradient, and what becomes of it."""
from __future__ import annotations

import pytest
import torch
from support.upsampling import FORMULAS, arguments, by_definition, by_strips, cleaned, problem, solve
from torch.testing import assert_close

from mmimb.functional import strips, walk


@pytest.mark.parametrize('name', ['cross-entropy', 'squared error', 'binary'])
def test_nothing_is_kept_or_computed_without_a_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = strips.with_gradient
    for module in (strips, walk):
        monkeypatch.setattr(module, 'with_gradient', lambda logits, compute: original(
            logits, lambda low, gradient: asked.append(gradient) or compute(low, gradient)))
    logits, target, weight = problem((4, 5), (16, 20))
    low = logits.requires_grad_()
    value = by_strips(name, low, *cleaned(target, weight), **arguments(name, low.dtype))
    with torch.no_grad():
        frozen = by_strips(name, low, *cleaned(target, weight), **arguments(name, low.dtype))
    plain = by_strips(name, low.detach(), *cleaned(target, weight), **arguments(name, low.dtype))
    assert asked == [True, False, False]
    assert value.requires_grad
    assert not frozen.requires_grad
    assert not plain.requires_grad
    assert value == frozen == plain


def test_factors_of_the_gradient() -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    low = logits.float().requires_grad_()
    value = by_strips('cross-entropy', low, *cleaned(target, weight.float()))
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
    value = by_strips(name, low, *cleaned(target, weight), **arguments(name, low.dtype))
    with pytest.raises(RuntimeError, match=r"`upsample` must be 'stock' for second derivatives, got .* create_graph=True"):
        torch.autograd.grad(value, low, create_graph=True)


@pytest.mark.parametrize('name', FORMULAS)
def test_devices_are_those_of_the_logits(name: str) -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    inputs = logits, *cleaned(target, weight)
    with torch.device('meta'):
        got = solve(by_strips, name, *inputs)
    want = solve(by_definition, name, *inputs)
    assert_close(got, want, rtol=1e-7, atol=1e-9)


def test_a_loss_scale_rescues_small_half_gradients() -> None:
    """Scaled before it is rounded: 1e-9 is no float16, 6e-5 is."""
    logits, target, weight = problem((4, 5), (16, 20))
    target, weight = cleaned(target, weight.float() * 1e-9)
    low = logits.half().requires_grad_()
    (by_strips('cross-entropy', low, target, weight) * 2.0**16).backward()
    exact = solve(by_definition, 'cross-entropy', logits.half().double(), target, weight.double())[1]
    assert float(low.grad.abs().max()) > 0
    assert_close(low.grad.double(), exact * 2.0**16, rtol=1e-2, atol=1e-7)


def test_autocast_changes_nothing() -> None:
    logits, target, weight = problem((4, 5), (16, 20))
    for name in ('cross-entropy', 'squared error', 'binary'):
        plain = solve(by_strips, name, logits.float(), *cleaned(target, weight))
        with torch.autocast('cpu', torch.bfloat16):
            assert all(map(torch.equal, solve(by_strips, name, logits.float(), *cleaned(target, weight)), plain))
