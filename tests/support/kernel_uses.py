"""The Triton kernels in use: by the losses, twice, compiled, without gradient, on bad input (see test_kernels.py)."""
from __future__ import annotations

import pytest
import torch
from cases import CASES, Case
from mmengine.registry import MODELS
from torch import Tensor

from mmimb import kernels
from mmimb.dispatch import Upsample, implementation
from mmimb.kernels import elementwise
from support.kernel_cases import DEVICE, FORMULAS, both, chosen, inputs

MAPS = [case for case in CASES if case.has_map and not MODELS.build(dict(case.cfg)).obstacle]


@pytest.mark.parametrize('mode', ['fused', 'auto'] if DEVICE == 'cuda' else ['fused'])
@pytest.mark.parametrize('case', MAPS, ids=str)
def test_losses_use_them(case: Case, mode: str) -> None:
    """The same loss and gradient as in strips, with every weight there is."""
    logits, target, weight = inputs('2.5', 4)
    target = target.masked_fill(weight == 0, 255)
    loss = MODELS.build({**case.cfg, 'class_weight': [0.5, 2.0, 1.0, 3.0]}).to(DEVICE)
    one, other = (both(loss, logits, target, weight, upsample=Upsample(way, True)) for way in (mode, 'strip'))
    torch.testing.assert_close(one[0], other[0], rtol=2e-6, atol=0)
    torch.testing.assert_close(one[1], other[1], rtol=1e-4, atol=1e-5 * float(other[1].abs().max()))
    formula = loss.formula(logits, target.masked_fill(target == 255, 0), target != 255, None)
    assert implementation('fused', formula, logits) is kernels


@pytest.mark.parametrize('size', ['4', 'same'])
@pytest.mark.parametrize('formula', FORMULAS)
def test_nothing_counts(formula, size) -> None:
    logits, target, coefficient = inputs(size, 3, spread=5e3)
    loss, slope = both(getattr(kernels, f'upsampled_{formula}'), logits, target, 0 * coefficient, **chosen(formula, 3, True))
    assert loss == 0
    assert not slope.any()


@pytest.mark.parametrize('size', ['2.5', 'same', 'pooled'])
@pytest.mark.parametrize('formula', FORMULAS)
def test_two_runs_are_bit_equal(formula, size) -> None:
    function, case = getattr(kernels, f'upsampled_{formula}'), inputs(size, 7)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (both(function, *case, **chosen(formula, 7, True)) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize('size', ['2', 'same'])
@pytest.mark.parametrize('formula', FORMULAS)
def test_without_gradient(formula, size) -> None:
    function, options = getattr(kernels, f'upsampled_{formula}'), chosen(formula, 5, True)
    case = inputs(size, 5)
    before = case[0].clone()
    loss = function(*case, **options)
    assert not loss.requires_grad
    assert loss == both(function, *case, **options)[0]
    assert torch.equal(case[0], before)


@pytest.mark.parametrize('formula', FORMULAS)
def test_validation_computes_no_slopes(formula, monkeypatch) -> None:
    logits, target, coefficient = inputs('2', 5)
    seen = []
    run = elementwise.run_slopes
    monkeypatch.setattr(elementwise, 'run_slopes', lambda *args, **how: seen.append(how['dtype']) or run(*args, **how))
    function, options = getattr(kernels, f'upsampled_{formula}'), chosen(formula, 5, True)
    with torch.no_grad():
        function(logits.requires_grad_(), target, coefficient, **options)
    function(logits, target, coefficient, **options)
    assert seen == ([] if formula == 'cross_entropy' else [None, torch.float32])


@pytest.mark.parametrize('size', ['4', 'same'])
@pytest.mark.parametrize('formula', FORMULAS)
def test_64_bit_places_change_nothing(formula, size, monkeypatch) -> None:
    function, case = getattr(kernels, f'upsampled_{formula}'), inputs(size, 5)
    narrow = both(function, *case, **chosen(formula, 5, True))
    monkeypatch.setattr('mmimb.kernels.launch._wide', lambda logits: True)
    wide = both(function, *case, **chosen(formula, 5, True))
    assert torch.equal(narrow[0], wide[0])
    assert torch.equal(narrow[1], wide[1])


@pytest.mark.parametrize('label', [-1, 255])
@pytest.mark.parametrize('formula', FORMULAS)
def test_labels_do_not_matter_where_nothing_counts(formula, label) -> None:
    function, (logits, target, coefficient) = getattr(kernels, f'upsampled_{formula}'), inputs('2', 5)
    options = chosen(formula, 5, True)
    cleaned = both(function, logits, target, coefficient, **options)
    as_read = both(function, logits, target.masked_fill(coefficient == 0, label), coefficient, **options)
    assert torch.equal(cleaned[0], as_read[0])
    assert torch.equal(cleaned[1], as_read[1])


def test_labels_of_a_view_and_a_strided_gradient_layout() -> None:
    logits, target, coefficient = inputs('2', 4, layout='channels_last')
    loss, slope = both(kernels.upsampled_cross_entropy, logits, target, coefficient)
    assert slope.is_contiguous(memory_format=torch.channels_last)
    views = (map_.transpose(1, 2).contiguous().transpose(1, 2) for map_ in (target, coefficient.double()))
    assert loss == both(kernels.upsampled_cross_entropy, logits, *views)[0]


def test_inside_a_compiled_function() -> None:
    logits, target, coefficient = inputs('2', 4)

    def step(z: Tensor) -> Tensor:
        return kernels.upsampled_cross_entropy(2 * z, target, coefficient) + 1

    plain, compiled = both(step, logits), both(torch.compile(step, backend='aot_eager'), logits)
    assert torch.equal(plain[0], compiled[0])
    assert torch.equal(plain[1], compiled[1])


@pytest.mark.parametrize(('change', 'message'), [
    (dict(logits=lambda z: z.double()), '`logits` must be .* the logits are torch.float64'),
    (dict(logits=lambda z: z[0]), '`logits` must be .* 3 dimensions'),
    (dict(logits=lambda z: z[:, :0]), '`logits` must be .* empty'),
    (dict(logits=lambda z: z[:, :1]), '`logits` must be .* one channel'),
    (dict(target=lambda y: y[:1]), '`target` must have the shape'),
    (dict(coefficient=lambda k: k[:, :1]), '`coefficient` must have the shape'),
    (dict(scale=torch.ones(3)), r'`scale` must have the shape \(4,\), got \(3,\)'),
])
def test_bad_input(change, message) -> None:
    case = dict(zip(('logits', 'target', 'coefficient'), inputs('2', 4), strict=True))
    for name, value in change.items():
        case[name] = value(case[name]) if name in case else value
    with pytest.raises(ValueError, match=message):
        kernels.upsampled_cross_entropy(**case)


def test_what_is_supported() -> None:
    logits = torch.zeros(1, 2, 3, 3, device=DEVICE)
    assert all(kernels.supports(formula, logits) is None for formula in FORMULAS)
    assert 'no kernel' in kernels.supports('dice', logits)
    assert 'float64' in kernels.supports('cross_entropy', logits.double())
