#!/usr/bin/env python
"""How weights that follow difficulty swing or settle: a small network from scratch on CamVid at 72 x 96, in seconds a run.

    python benchmarks/difficulty_feedback.py [--data data/camvid] [--iterations 500] [--seeds 0 1 2] [ARM ...]

Trained on fit.txt, 8 images a step; a holdout is dev.txt; scores are those of test.txt, in percent. The arms differ in how
``DifficultyBalanced`` weights of cross-entropy are measured and computed; one seed has the same weights and data in all arms.
Each run is added to results/difficulty_feedback.csv, and is left out if it is there. ``--trace`` prints each measurement:
recall and weight of Road and Pavement.
"""
from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from record import HERE, machine
from torch import Tensor, nn

from mmimb.functional import MEASURES, confusion_matrix, scores
from mmimb.hooks.difficulty.meter import DifficultyMeter
from mmimb.losses import CrossEntropyLoss

SIZE, CLASSES, BATCH = (72, 96), 11, 8
TAIL, SHOWN = [2, 9, 10], {'Road': 3, 'Pavement': 4}  # Pole, Pedestrian, Bicyclist
OUT = HERE / 'results/difficulty_feedback.csv'
# source, interval and momentum of ClassWeightHook; then arguments of DifficultyBalanced
ARMS: dict[str, tuple[str, int, float, dict[str, Any]]] = {
    'ce': ('none', 0, 0, {}),
    'holdout-100': ('holdout', 100, 0, {}),
    'holdout-100-momentum0.5': ('holdout', 100, 0.5, {}),
    'holdout-100-momentum0.7': ('holdout', 100, 0.7, {}),
    'holdout-100-momentum0.9': ('holdout', 100, 0.9, {}),
    'holdout-100-ratio10': ('holdout', 100, 0, {'max_ratio': 10}),
    'holdout-100-momentum0.5-ratio10': ('holdout', 100, 0.5, {'max_ratio': 10}),
    'holdout-100-tau1': ('holdout', 100, 0, {'tau': 1}),
    'holdout-100-iou': ('holdout', 100, 0, {'measure': 'iou'}),
    'holdout-20-momentum0.9': ('holdout', 20, 0.9, {}),
    'train-10': ('train', 10, 0.9, {}),
    'train-100': ('train', 100, 0.9, {}),
    'train-10-ratio10': ('train', 10, 0.9, {'max_ratio': 10}),
    'train-10-ratio30': ('train', 10, 0.9, {'max_ratio': 30}),
}


def block(channels: int, out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(True))


class Network(nn.Module):
    """Strides 2 to 16 and a small feature pyramid, logits at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.a = block(3, 16, 2)
        self.b = block(16, 32, 2)
        self.c = nn.Sequential(block(32, 48, 2), block(48, 48))
        self.d = nn.Sequential(block(48, 64, 2), block(64, 64), block(64, 64, dilation=2))
        self.from_c, self.from_d, self.from_b = nn.Conv2d(48, 32, 1), nn.Conv2d(64, 32, 1), nn.Conv2d(32, 32, 1)
        self.mix = block(32, 32)
        self.out = nn.Conv2d(32, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        b = self.b(self.a(x))
        c = self.c(b)
        pyramid = self.from_c(c) + enlarge(self.from_d(self.d(c)), c)
        pyramid = self.from_b(b) + enlarge(pyramid, b)
        return self.out(self.mix(F.relu(pyramid)))


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode='bilinear')


def load(root: Path, split: str, folder: str) -> tuple[Tensor, Tensor]:
    """Return the images and labels of a list of CamVid."""
    images, labels = [], []
    for stem in (root / f'{split}.txt').read_text().split():
        image = cv2.imread(str(root / f'images/{folder}/{stem}.jpg'))
        label = cv2.imread(str(root / f'annotations/{folder}/{stem}.png'), cv2.IMREAD_UNCHANGED)
        images.append(cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA))
        label = cv2.resize(label, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        labels.append(np.where(label < CLASSES, label, 255))
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().sub_(110).div_(60)
    return x, torch.from_numpy(np.stack(labels)).long()


@torch.no_grad()
def predictions(network: Network, x: Tensor, y: Tensor) -> Tensor:
    training = network.training
    found = torch.cat([enlarge(network.eval()(part), y).argmax(1) for part in x.split(32)])
    network.train(training)
    return found


def run(arm: str, seed: int, iterations: int, data: dict[str, tuple[Tensor, Tensor]], trace: bool) -> dict[str, float]:
    """Train one network and return its scores on test."""
    source, interval, momentum, arguments = ARMS[arm]
    balanced = {'type': 'mmimb.DifficultyBalanced', 'num_classes': CLASSES, **arguments}
    loss, meter = CrossEntropyLoss(class_weight=None if source == 'none' else balanced), DifficultyMeter(CLASSES, momentum)
    torch.manual_seed(seed)
    network, rng, (images, labels) = Network(), np.random.default_rng(seed), data['fit']
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / 20, 1) * (1 - i / iterations) ** 0.9)
    for i in range(iterations):
        drawn = rng.integers(len(images), size=BATCH)
        x, y = images[drawn], labels[drawn]
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(2)
        logits = enlarge(network(x), y)
        optimizer.zero_grad()
        loss(logits, y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if source == 'train':
            meter.add(logits.detach().argmax(1), y, 255)
        if interval and (i + 1) % interval == 0:
            if source == 'holdout':
                meter.add(predictions(network, *data['dev']), data['dev'][1], 255)
            latest = meter.counts[0] / meter.counts[1]
            weight = loss.class_weight
            weight.update(meter.close()[0][MEASURES.index(weight.measure)])
            if trace:
                shown = ', '.join(f'{name} {latest[c]:.2f} -> {weight.weight[c]:.4f}' for name, c in SHOWN.items())
                print(f'  {i + 1}: tau {weight.tau:.2f}, recall -> weight: {shown}')
    x, y = data['test']
    found = scores(confusion_matrix(predictions(network, x, y), y, CLASSES))
    return {'mIoU': 100 * found.iou.mean().item(), 'mIoU_tail': 100 * found.iou[TAIL].mean().item(),
            'mAcc': 100 * found.accuracy.mean().item()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('arms', nargs='*', metavar='ARM', choices=[[], *ARMS], help=f'of {", ".join(ARMS)}; default: all')
    parser.add_argument('--data', type=Path, default=HERE.parent / 'data/camvid')
    parser.add_argument('--iterations', type=int, default=500)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--trace', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = {split: load(args.data, split, 'test' if split == 'test' else 'train') for split in ('fit', 'dev', 'test')}
    done = {(r['arm'], int(r['seed']), int(r['iterations'])) for r in csv.DictReader(OUT.open())} if OUT.exists() else set()
    for seed in args.seeds:
        for arm in args.arms or ARMS:
            if (arm, seed, args.iterations) in done:
                continue
            result = {key: f'{value:.2f}' for key, value in run(arm, seed, args.iterations, data, args.trace).items()}
            row = {'arm': arm, 'seed': seed, 'iterations': args.iterations, **result, **machine()}
            print(arm, seed, result, flush=True)
            with OUT.open('a', newline='', encoding='utf-8') as file:
                writer = csv.DictWriter(file, list(row), lineterminator='\n')
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)


if __name__ == '__main__':
    main()
