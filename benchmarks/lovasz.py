#!/usr/bin/env python
"""Time and accuracy of ``LovaszLoss`` with its errors in buckets, against the sort that defines it, on the CPU.

    python benchmarks/lovasz.py [--repeats 5] [--out FILE.csv]

Forward and backward in float32 with one thread, in processor time, the ways taking turns; 5 % of the labels are ignored. In
``random`` every class has as many pixels as any other, and the logits know nothing of the labels; in ``trained`` classes halve
from one to the next (150 classes: 12 of them occur), and most pixels are right. ``low`` is from logits of a quarter of the
height and width, ``low_stock`` the same by way of up-sampled logits. The sort, too, leaves out classes without a label. Errors
are against the sort in float64: of the value, and of the gradient, the sum of absolute differences over the sum of the exact
one's absolute entries.
"""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from record import HERE, machine, write_csv
from torch import Tensor

from mmimb.dispatch import Upsample
from mmimb.functional import lovasz_loss
from mmimb.losses import LovaszLoss

SHAPES = ((8, 11, 256, 320), (2, 150, 128, 128), (1, 150, 512, 512))


class Sorted(LovaszLoss):
    """The definition."""

    def per_class(self, prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return lovasz_loss(prob, positive, weight, exact=True)


def batch(shape: tuple[int, int, int, int], kind: str) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    size = (shape[0], *shape[2:])
    logits = torch.randn(shape, generator=g)
    if kind == 'random':
        target = torch.randint(0, shape[1], size, generator=g)
    else:
        share = 0.5 ** torch.arange(min(shape[1], 12), dtype=torch.float64)
        target = torch.multinomial(share, shape[0] * shape[2] * shape[3], replacement=True, generator=g).view(size)
        logits.mul_(2).scatter_add_(1, target.unsqueeze(1), torch.full(size, 8.0).unsqueeze(1))
    target[torch.rand(size, generator=g) < 0.05] = 255
    return logits, target


def run(loss: Callable[..., Tensor], logits: Tensor, target: Tensor, **how: Any) -> tuple[float, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **how)
    value.backward()
    if leaf.grad is None:
        raise RuntimeError('no gradient')
    return float(value.detach()), leaf.grad


def times(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.thread_time()
            way()
            taken[name].append(1e3 * (time.thread_time() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def row(shape: tuple[int, int, int, int], kind: str, repeats: int) -> dict[str, Any]:
    logits, target = batch(shape, kind)
    low = logits[:, :, ::4, ::4].contiguous()
    loss, by_sort = LovaszLoss(), Sorted()

    def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y, ignore_index=255)

    ms = times({'cross_entropy': lambda: run(cross_entropy, logits, target), 'sorted': lambda: run(by_sort, logits, target),
                'buckets': lambda: run(loss, logits, target),
                'low_stock': lambda: run(loss, low, target, upsample=Upsample('stock')),
                'low': lambda: run(loss, low, target, upsample=Upsample('strip'))}, repeats)
    value, grad = run(loss, logits, target)
    exact, slope = run(by_sort, logits.double(), target)
    error = float((grad.double() - slope).abs().sum() / slope.abs().sum())
    return {'shape': 'x'.join(map(str, shape)), 'batch': kind, **{f'{name}_ms': round(taken, 1) for name, taken in ms.items()},
            'times_faster': round(ms['sorted'] / ms['buckets'], 1),
            'of_cross_entropy': round(ms['buckets'] / ms['cross_entropy'], 1),
            'value_error': f'{abs(value - exact):.1e}', 'gradient_error': f'{error:.1e}'}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, default=HERE / 'results/lovasz_cpu.csv')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for shape in SHAPES:
        for kind in ('random', 'trained'):
            rows.append({**row(shape, kind, args.repeats), 'threads': 1, **machine()})
            print(rows[-1])
    write_csv(args.out, rows)


if __name__ == '__main__':
    main()
