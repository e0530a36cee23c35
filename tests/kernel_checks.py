"""The Triton kernels against float64 and eager: on a GPU, or on the CPU in Triton's interpreter (see test_kernels.py)."""
from __future__ import annotations

import kernel_oracle
import pytest
import torch
from torch import Tensor

from mmimb import kernels
from mmimb.functional import upsampled

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
FORMULAS = kernels.FORMULAS
SIZES = {  # low resolution, label size
    '2': ((5, 7), (10, 14)), '4': ((3, 7), (12, 28)), '2.5': ((4, 6), (10, 15)), 'odd': ((5, 3), (17, 22)),
    '8': ((2, 17), (16, 136)), '0.5': ((8, 12), (4, 6)), 'mixed': ((9, 2), (4, 9)), 'same': ((4, 9), (4, 9)),
    'point': ((1, 1), (3, 5)), 'pooled': ((1, 1), (2, 270)), 'column': ((7, 1), (14, 1)),
}
LAYOUTS = {
    'plain': lambda z: z,
    'channels_last': lambda z: z.contiguous(memory_format=torch.channels_last),
    'transposed': lambda z: z.transpose(2, 3).contiguous().transpose(2, 3),
    'sliced': lambda z: torch.cat([z, z], 3).repeat(1, 2, 1, 1)[:, ::2, :, ::2],  # holes between all of its numbers
}


def vectors(channels: int, images: int, seed: int) -> dict[str, dict]:
    """All options of each formula."""
    draw = torch.Generator().manual_seed(seed)

    def positive(*shape: int) -> Tensor:
        return (torch.rand(shape, generator=draw) + 0.2).to(DEVICE)

    softmax = dict(scale=positive(channels), bias=-positive(channels), margin=positive(channels), relief=positive(channels))
    sigmoid = dict(bias=positive(channels), factor=positive(images, channels), table=positive(channels, channels))
    return {'cross_entropy': {**softmax, 'gamma': 1.5, 'complement': -1.0},
            'squared_error': dict(labels=5 * positive(channels)),
            'binary_cross_entropy': {**sigmoid, 'lam': 2.0, 'gamma': 2.0}}


def inputs(size: str, channels: int, *, dtype: torch.dtype = torch.float32, spread: float = 3.0, layout: str = 'plain',
           images: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels, and coefficients that are 0 at a fifth of the pixels."""
    draw = torch.Generator().manual_seed(seed)
    small, large = SIZES[size]
    logits = (spread * torch.randn(images, channels, *small, generator=draw)).to(DEVICE, dtype)
    target = torch.randint(0, max(channels, 2), (images, *large), generator=draw)
    coefficient = torch.rand(images, *large, generator=draw)
    ignored = coefficient < 0.2
    return LAYOUTS[layout](logits), target.masked_fill(ignored, 0).to(DEVICE), coefficient.masked_fill(ignored, 0).to(DEVICE)


def chosen(formula: str, channels: int, full: bool) -> dict:
    """All options of a formula, or those that it cannot do without."""
    options = vectors(channels, 2, seed=1)[formula]
    return options if full else {name: value for name, value in options.items() if name == 'labels'}


def both(function, logits: Tensor, *args, outer: float = 1.0, **options) -> tuple[Tensor, Tensor]:
    """Value and gradient of a function of the logits."""
    leaf = logits.detach().requires_grad_()
    loss = function(leaf, *args, **options)
    (outer * loss).backward()
    return loss.detach(), leaf.grad


def error(got: tuple[Tensor, Tensor], true: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Error of the value, and the largest of a gradient's elements, each in units of its size plus that of a mean element."""
    value, slope = (pair[0].double().cpu() - pair[1].double().cpu() for pair in zip(got, true, strict=True))
    size = true[1].double().cpu().abs()
    return float(value.abs() / true[0].abs().cpu()), float((slope.abs() / (size + size.mean())).max())


def compare(formula: str, logits: Tensor, target: Tensor, coefficient: Tensor, outer: float = 1.0, **options) -> None:
    """Hold the kernel to twice the error of eager PyTorch, and a few float32 roundings where that has almost none."""
    name = f'upsampled_{formula}'
    host = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in options.items()}
    true = both(getattr(kernel_oracle, formula), logits.cpu().double(), target.cpu(), coefficient.cpu(), outer=outer, **host)
    eager = error(both(getattr(upsampled, name), logits, target, coefficient, outer=outer, **options), true)
    got = both(getattr(kernels, name), logits, target, coefficient, outer=outer, **options)
    assert got[0].dtype == torch.float32
    assert got[1].dtype == logits.dtype
    fused = error(got, true)
    # Triton's interpreter cuts float32 to bfloat16 where GPUs round.
    cut = torch.finfo(logits.dtype).eps / 2 if kernels.prepare.INTERPRETED and logits.dtype == torch.bfloat16 else 0.0
    assert fused[0] <= 2 * eager[0] + 5e-7
    assert fused[1] <= 2 * eager[1] + 1e-6 + cut


DTYPES = (torch.float32, torch.bfloat16, torch.float16)
FORMS = [(formula, full) for formula in FORMULAS for full in (False, True)]
CASES = [(*form, size, list(LAYOUTS)[(i + j) % 4], DTYPES[(i + j) % 3], bool((i + j) % 2))
         for i, size in enumerate(SIZES) for j, form in enumerate(FORMS)]


@pytest.mark.parametrize(('formula', 'full', 'size', 'layout', 'dtype', 'align_corners'), CASES)
def test_never_less_accurate_than_eager(formula, full, size, layout, dtype, align_corners) -> None:
    channels = 5 + len(size)
    options = chosen(formula, channels, full)
    compare(formula, *inputs(size, channels, dtype=dtype, layout=layout), outer=3.0, align_corners=align_corners,
            **options)


OPTIONS = [(formula, option) for formula, options in vectors(2, 2, seed=1).items() for option in options]


@pytest.mark.parametrize(('formula', 'option'), OPTIONS)
def test_each_option_alone(formula, option) -> None:
    options = chosen(formula, 9, True)
    compare(formula, *inputs('2.5', 9), **{name: value for name, value in options.items() if name in (option, 'labels')})


@pytest.mark.parametrize('size', ['mixed', 'same'])
@pytest.mark.parametrize('channels', [2, 37])
@pytest.mark.parametrize('formula', FORMULAS)
def test_channels_of_no_and_of_several_blocks(formula, channels, size) -> None:
    compare(formula, *inputs(size, channels), **chosen(formula, channels, True))


@pytest.mark.parametrize('size', ['4', 'same'])
def test_one_sigmoid_channel(size) -> None:
    compare('binary_cross_entropy', *inputs(size, 1), gamma=2.0)


@pytest.mark.parametrize(('size', 'spread'), [('4', 5e3), ('2.5', 100.0), ('same', 5e3), ('same', 100.0)])
@pytest.mark.parametrize(('formula', 'full'), FORMS)
def test_large_logits(formula, full, size, spread) -> None:
    logits, target, coefficient = inputs(size, 6, spread=spread)
    compare(formula, logits.clamp(-1e4, 1e4), target, coefficient, **chosen(formula, 6, full))


@pytest.mark.parametrize('size', ['2', 'same'])
def test_pixels_that_are_almost_right_keep_their_small_loss(size) -> None:
    logits, target, coefficient = inputs(size, 4, spread=0.0, images=1)
    target = torch.full_like(target, 2)
    logits[:, 2] = 40.0  # the other classes have e ** -40 of the probability; eager PyTorch gives 0
    coefficient += 0.1
    true = both(kernel_oracle.cross_entropy, logits.cpu().double(), target.cpu(), coefficient.cpu())
    got = both(kernels.upsampled_cross_entropy, logits, target, coefficient)
    assert max(error(got, true)) < 1e-5


def test_ties_of_the_strongest_wrong_class_keep_the_lower_id() -> None:
    channels = 40
    logits, target, coefficient = inputs('2', channels, images=1)
    logits[:] = 0
    relief = torch.arange(channels, device=DEVICE) / 8.0
    compare('cross_entropy', logits, target, coefficient, relief=relief)
    logits[:, [7, 33]] = 1
    compare('cross_entropy', logits, target, coefficient, relief=relief)


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


@pytest.mark.parametrize('formula', FORMULAS)
def test_half_precision_gradients_survive_a_loss_scale(formula) -> None:
    logits, target, coefficient = inputs('2', 5, dtype=torch.float16)
    compare(formula, logits, target, coefficient * 1e-8, outer=2.0**22, **chosen(formula, 5, True))


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
