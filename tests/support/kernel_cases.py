"""Inputs of the Triton kernels, and what their values and gradients are held against."""
from __future__ import annotations

import torch
from torch import Tensor

from mmimb import kernels
from mmimb.functional.upsampled import upsample
from support import kernel_oracle

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
FORMULAS = kernels.FORMULAS
SIZES = {  # low resolution, label size
    '2': ((5, 7), (10, 14)), '4': ((3, 7), (12, 28)), '2.5': ((4, 6), (10, 15)), 'odd': ((5, 3), (17, 22)),
    '8': ((2, 17), (16, 136)), '0.5': ((8, 12), (4, 6)), 'mixed': ((9, 2), (4, 9)), 'same': ((4, 9), (4, 9)),
    'point': ((1, 1), (3, 5)), 'pooled': ((1, 1), (2, 270)), 'column': ((3, 1), (7, 1)),
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
            'squared_error': dict(labels=5 * positive(channels), label_weight=3.0),
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


def by_definition(logits: Tensor, formula: str, target: Tensor, coefficient: Tensor, *, align_corners: bool = False,
                  **options) -> Tensor:
    """Return the sum of coefficient times loss over the interpolated logits."""
    return (coefficient * FORMULAS[formula](upsample(logits, target.shape[1:], align_corners), target, **options)).sum()


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
    eager = error(both(by_definition, logits, formula, target, coefficient, outer=outer, **options), true)
    got = both(getattr(kernels, name), logits, target, coefficient, outer=outer, **options)
    assert got[0].dtype == torch.float32
    assert got[1].dtype == logits.dtype
    fused = error(got, true)
    # Triton's interpreter cuts float32 to bfloat16 where GPUs round.
    cut = torch.finfo(logits.dtype).eps / 2 if kernels.prepare.INTERPRETED and logits.dtype == torch.bfloat16 else 0.0
    assert fused[0] <= 2 * eager[0] + 5e-7
    assert fused[1] <= 2 * eager[1] + 1e-6 + cut
