"""One run of the frozen regime: a decode head of MMSegmentation, trained on cached features."""
from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from arms import Arm
from encoder import CHANNELS, STRIDES
from features import Features
from torch import Tensor, nn

from mmimb.dispatch import Upsample
from mmimb.functional import MEASURES, class_scores, confusion_matrix
from mmimb.registry import MODELS
from mmimb.weights import Deferred, DifficultyBalanced


@dataclass(frozen=True)
class Schedule:
    """What all arms share.

    Args:
        iterations, batch: Steps, and crops of each.
        lr, weight_decay: Of AdamW.
        warmup: Steps until the learning rate is reached; then it falls to 0 by a polynomial of degree 0.9.
        ema: Decay of the average of parameters and of the statistics of batch normalisation, which is what is evaluated.
        channels: Of the head.
    """

    iterations: int = 500
    batch: int = 4
    lr: float = 0.01
    weight_decay: float = 0.01
    warmup: int = 50
    ema: float = 0.99
    channels: int = 32


def build_head(arm: Arm, stats: Mapping[str, Any], schedule: Schedule, seed: int) -> nn.Module:
    """Return a feature pyramid head with the losses of the arm; the same seed gives the same weights in all arms."""
    torch.manual_seed(seed)
    head: nn.Module = MODELS.build({
        'type': 'mmimb.LossHead', 'base': 'FPNHead', 'feature_strides': STRIDES, 'in_channels': CHANNELS,
        'in_index': list(range(len(STRIDES))), 'channels': schedule.channels, 'num_classes': len(stats['pixels']),
        'norm_cfg': {'type': 'BN'}, 'align_corners': False, 'classifier': arm.classifier, 'loss_decode': arm.losses(stats),
        **arm.head})
    head.init_weights()
    return head.to(memory_format=torch.channels_last)


def data_order(features: Features, schedule: Schedule, seed: int, views: int, *, temperature: float | None = None,
               pixels: list[int] | None = None) -> np.ndarray:
    """Return the ``(iterations, batch)`` items; the same seed gives the same ones in all arms without a sampler.

    Without a temperature all images come once in an epoch, each in one of its views. With one, a class is drawn with the
    probability ``softmax((1 - f) / temperature)`` and then a view that contains it, as ``mmimb.RareClassSampler`` does.
    """
    rng, count = np.random.default_rng(seed), schedule.iterations * schedule.batch
    if temperature is None:
        images = len(features) // views
        order = np.concatenate([rng.permutation(images) for _ in range(-(-count // images))])[:count]
        items = order * views + rng.integers(views, size=count)
    else:
        occurs = np.flatnonzero(features.present.any(0))
        share = np.array([pixels[c] for c in occurs]) / sum(pixels)
        score = np.exp((1 - share - (1 - share).max()) / temperature)
        drawn = rng.choice(occurs, size=count, p=score / score.sum())
        holding = {c: np.flatnonzero(features.present[:, c]) for c in occurs}
        items = np.array([holding[c][int(u * len(holding[c]))] for c, u in zip(drawn, rng.random(count), strict=True)])
    return items.reshape(schedule.iterations, schedule.batch)


class Average:
    """Exponential moving average of what a head predicts with."""

    def __init__(self, head: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.clone() for k, v in network_state(head).items()}

    @torch.no_grad()
    def update(self, head: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (10 + self.steps))
        for name, value in network_state(head).items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def network_state(head: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers without those of the losses."""
    return {k: v for k, v in head.state_dict().items() if not k.startswith('loss_decode')}


class DifficultyMeasure:
    """Scores of the classes on the training batches, averaged over time, for ``DifficultyBalanced`` weights."""

    def __init__(self, head: nn.Module, interval: int, momentum: float, stride: int) -> None:
        self.weights = [m for m in head.modules() if isinstance(m, DifficultyBalanced)]
        self.interval, self.momentum, self.stride = interval, momentum, stride
        self.classes = head.num_classes
        self.score: Tensor | None = None
        self.counts: Tensor | None = None

    @torch.no_grad()
    def __call__(self, iteration: int, logits: Tensor, label: Tensor) -> None:
        label = label[:, ::self.stride, ::self.stride]
        found = nn.functional.interpolate(logits.detach(), label.shape[1:], mode='bilinear') if (
            logits.shape[2:] != label.shape[1:]) else logits
        counts = confusion_matrix(found.argmax(1), label, self.classes)
        self.counts = counts if self.counts is None else self.counts + counts
        if (iteration + 1) % self.interval:
            return
        now = class_scores(self.counts.diagonal(), self.counts.sum(1), self.counts.sum(0))
        old = now if self.score is None else torch.where(self.score.isnan(), now, self.score)
        self.score = torch.where(now.isnan(), old, self.momentum * old + (1 - self.momentum) * now)
        for weight in self.weights:
            weight.update(self.score[MEASURES.index(weight.measure)])
        self.counts = None


def train(arm: Arm, stats: Mapping[str, Any], features: Features, schedule: Schedule, seed: int, views: int,
          device: str = 'cpu') -> tuple[nn.Module, float]:
    """Train one head; return it with the averaged weights, and the seconds (wall) of the steps."""
    head = build_head(arm, stats, schedule, seed).to(device).train()
    order = data_order(features, schedule, seed, views, temperature=arm.sampler, pixels=stats['pixels'])
    optimizer = torch.optim.AdamW(_groups(head, schedule.weight_decay), lr=schedule.lr * arm.lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / schedule.warmup, 1) * (
        1 - i / schedule.iterations) ** 0.9)
    average = Average(head, schedule.ema)
    deferred = [m for m in head.modules() if isinstance(m, Deferred)]
    measure = None if arm.difficulty is None else DifficultyMeasure(head, **arm.difficulty)
    torch.manual_seed(seed)  # dropout: the same in all arms
    begin = time.perf_counter()
    for i, (found, label) in enumerate(_batches(features, order, device)):
        for module in deferred:
            module.step(i, schedule.iterations)
        logits = head(found)
        total = total_loss(head, logits, label)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        scheduler.step()
        average.update(head)
        if measure is not None:
            measure(i, logits, label)
    seconds = time.perf_counter() - begin
    head.load_state_dict(average.state, strict=False)
    return head.eval(), seconds


def total_loss(head: nn.Module, logits: Tensor, label: Tensor) -> Tensor:
    """Return what the losses of the head add up to, as its ``loss_by_feat`` computes it, without the accuracy for the log."""
    losses = head_losses(head)
    upsample = Upsample(head.upsample, head.align_corners)
    full = None
    if any(loss.obstacle for loss in losses):
        full = nn.functional.interpolate(logits, label.shape[1:], mode='bilinear', align_corners=head.align_corners)
    return sum(loss(full, label) if loss.obstacle else loss(logits, label, upsample=upsample) for loss in losses)


def head_losses(head: nn.Module) -> list[nn.Module]:
    """Return the losses of a head."""
    found = head.loss_decode
    return list(found) if isinstance(found, nn.ModuleList) else [found]


def _groups(head: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and batch normalisation do not."""
    parameters = [p for p in head.parameters() if p.requires_grad]
    return [{'params': [p for p in parameters if p.ndim > 1], 'weight_decay': weight_decay},
            {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0}]


def _batches(features: Features, order: np.ndarray, device: str) -> Iterator[tuple[list[Tensor], Tensor]]:
    for items in order:
        yield features.batch(items.tolist(), device)
