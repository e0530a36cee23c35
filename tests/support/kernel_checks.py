"""The Triton kernels against float64 and eager: on a GPU, or on the CPU in Triton's interpreter (see test_kernels.py)."""
from __future__ import annotations

import pytest
import torch

from mmimb import kernels
from support import kernel_oracle
from support.kernel_cases import DEVICE, FORMULAS, LAYOUTS, SIZES, both, chosen, compare, error, inputs, vectors

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


@pytest.mark.parametrize('formula', FORMULAS)
def test_half_precision_gradients_survive_a_loss_scale(formula) -> None:
    logits, target, coefficient = inputs('2', 5, dtype=torch.float16)
    compare(formula, logits, target, coefficient * 1e-8, outer=2.0**22, **chosen(formula, 5, True))
