"""Questions about values and gradients: reductions, ignored pixels, weights, symmetries, extremes."""
from __future__ import annotations

import torch

from .questions import expect, question, refused, same
from .tested_loss import IGNORE, Subject, call, value_and_grad


@question
def loss_weight(subject: Subject) -> None:
    """loss_weight scales the result, 0 included"""
    logits, target = subject.batch()
    one = call(subject.build(), logits, target)
    same(call(subject.build(loss_weight=0.3), logits, target), 0.3 * one, 'loss_weight=0.3')
    same(call(subject.build(loss_weight=0.0), logits, target), 0 * one, 'loss_weight=0')


@question
def reductions(subject: Subject) -> None:
    """'none' has the shape of the labels, and 'sum' adds it up"""
    logits, target = subject.batch()
    none, total = (call(subject.build(), logits, target, reduction_override=r) for r in ('none', 'sum'))
    expect(none.shape == target.shape, f"'none' has the shape {tuple(none.shape)}, not that of the labels")
    same(total, none.sum(), "'sum'")
    same(call(subject.build(reduction='sum'), logits, target), total, "reduction='sum' of the constructor")


@question
def mean(subject: Subject) -> None:
    """'mean', the default, divides by the number of valid pixels"""
    logits, target = subject.batch()
    total = call(subject.build(), logits, target, reduction_override='sum')
    same(call(subject.build(), logits, target), total / (target != IGNORE).sum(), "'mean'")


@question
def avg_factor(subject: Subject) -> None:
    """avg_factor is the divisor of 'mean', and an error elsewhere"""
    logits, target = subject.batch()
    total = call(subject.build(), logits, target, reduction_override='sum')
    same(call(subject.build(), logits, target, avg_factor=7.0), total / 7, 'avg_factor=7', rtol=1e-6)
    same(call(subject.build(), logits, target, avg_factor=torch.tensor(7.0)), total / 7, 'avg_factor as a tensor', rtol=1e-6)
    refused(lambda: call(subject.build(), logits, target, reduction_override='sum', avg_factor=7.0), 'avg_factor')


@question
def ignored_pixels(subject: Subject) -> None:
    """ignored pixels change neither value nor gradient, and get no gradient"""
    logits, target = subject.batch()
    ignored = (target == IGNORE).unsqueeze(1)
    value, grad = value_and_grad(subject.build(), logits, target)
    other_value, other_grad = value_and_grad(subject.build(), logits + 3 * ignored * torch.randn_like(logits), target)
    expect(not (grad * ignored).any(), 'ignored pixels receive gradient')
    same(other_value, value, 'value after other logits at ignored pixels')
    same(other_grad * ~ignored, grad * ~ignored, 'gradient after other logits at ignored pixels')
    value, _ = value_and_grad(subject.build(), logits[:, :, 2:], target[:, 2:])
    cropped = torch.full_like(target, IGNORE)
    cropped[:, 2:] = target[:, 2:]
    same(call(subject.build(), logits, cropped), value, 'value against the crop without the ignored rows')


@question
def all_ignored(subject: Subject) -> None:
    """a batch of ignored pixels gives exactly 0 with zero gradient"""
    logits, target = subject.batch()
    value, grad = value_and_grad(subject.build(), logits, torch.full_like(target, IGNORE))
    expect(value == 0, f'value is {float(value)}')
    expect(torch.equal(grad, torch.zeros_like(grad)), 'gradient is not zero')


@question
def empty_batch(subject: Subject) -> None:
    """a batch without images gives 0"""
    logits, target = subject.batch()
    value, _ = value_and_grad(subject.build(), logits[:0], target[:0])
    expect(value == 0, f'value is {float(value)}')


@question
def pixel_weight(subject: Subject) -> None:
    """the pixel weight of an OHEM sampler multiplies the pixel's loss"""
    logits, target = subject.batch()
    weight = torch.rand(target.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(1))
    none = call(subject.build(), logits, target, reduction_override='none')
    weighted = call(subject.build(), logits, target, weight=weight, reduction_override='none')
    same(weighted, none * weight, 'weighted map', rtol=1e-6)
    mean = call(subject.build(), logits, target, weight=weight)
    same(mean, (none * weight).sum() / (target != IGNORE).sum(), 'weighted mean', rtol=1e-6)
    same(call(subject.build(), logits, target, weight=0 * weight), 0 * mean, 'weight 0')


@question
def class_weight(subject: Subject) -> None:
    """class_weight multiplies a pixel's loss by its label's weight, with 255 among the labels"""
    logits, target = subject.batch()
    weights = [0.0] + [0.5 + c for c in range(1, subject.num_classes)]
    none = call(subject.build(class_weight=None), logits, target, reduction_override='none')
    factor = torch.tensor(weights, dtype=logits.dtype)[target.where(target != IGNORE, 0)]
    weighted = call(subject.build(class_weight=weights), logits, target, reduction_override='none')
    same(weighted, none * factor, 'weighted map', rtol=1e-6)
    mean = call(subject.build(class_weight=weights), logits, target)
    same(mean, (none * factor).sum() / (target != IGNORE).sum(), "mean, normalize='pixels'", rtol=1e-6)


@question
def class_weight_ones(subject: Subject) -> None:
    """class_weight of ones changes nothing"""
    logits, target = subject.batch()
    ones = subject.build(class_weight=[1.0] * subject.num_classes)
    same(call(ones, logits, target), call(subject.build(class_weight=None), logits, target), 'value', rtol=1e-12)


@question
def class_permutation(subject: Subject) -> None:
    """renaming the classes renames the gradient and keeps the value"""
    logits, target = subject.batch()
    order = subject.renamed
    new_id = torch.tensor(order).argsort()
    renamed = torch.where(target == IGNORE, target, new_id[target.clamp(max=subject.num_classes - 1)])
    value, grad = value_and_grad(subject.build(), logits, target)
    new_value, new_grad = value_and_grad(subject.permuted(order).build(), logits[:, order], renamed)
    same(new_value, value, 'value')
    same(new_grad, grad[:, order], 'gradient')


@question
def batch_order(subject: Subject) -> None:
    """the order of the images in a batch does not matter"""
    logits, target = subject.batch()
    value, grad = value_and_grad(subject.build(), logits, target)
    flipped_value, flipped_grad = value_and_grad(subject.build(), logits.flip(0), target.flip(0))
    same(flipped_value, value, 'value')
    same(flipped_grad, grad.flip(0), 'gradient')


@question
def extreme_logits(subject: Subject) -> None:
    """logits of ±1e4 give finite values and gradients in float32"""
    logits, target = subject.batch(dtype=torch.float32)
    for factor in (1e4, -1e4):
        value, grad = value_and_grad(subject.build(), factor * logits.sign(), target)
        expect(value.isfinite() and grad.isfinite().all(), f'not finite at {factor:g}')


@question
def half_precision(subject: Subject) -> None:
    """float16 and bfloat16 logits under autocast are computed in float32"""
    for dtype in (torch.float16, torch.bfloat16):
        logits, target = subject.batch(dtype=dtype)
        with torch.autocast('cpu', dtype=dtype):
            value = call(subject.build(), logits, target)
        expect(value.dtype is torch.float32, f'{dtype} logits give a {value.dtype} loss')
        same(value, call(subject.build(), logits.float(), target), f'{dtype} against float32', rtol=1e-5)


@question
def gradient(subject: Subject) -> None:
    """the gradient equals finite differences in float64"""
    logits, target = subject.batch()
    logits, target = logits[:, :, 1:4, :3].contiguous().requires_grad_(), target[:, 1:4, :3]
    loss = subject.build()
    expect(torch.autograd.gradcheck(lambda z: call(loss, z, target), logits, raise_exception=False), 'gradcheck fails')
