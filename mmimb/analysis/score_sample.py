"""A few pixels of every image that stand for all of them where classes are chosen by the largest score."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

KEPT = 8  # scores of a pixel
BUDGET = 400_000  # pixels of a split
LEAST = 500  # pixels of an image
STRIP = 1 << 18  # pixels at a time
FINE = 4  # pixels of a stratum, below which strata are joined


@dataclass(frozen=True)
class ScoreSample:
    """The largest scores of sampled pixels, with the number of pixels that each stands for.

    Args:
        scores: ``(n, K)`` float32, descending; ``-inf`` where a pixel has fewer than K classes.
        classes: ``(n, K)`` int16, the classes of the scores.
        label: ``(n,)`` int16.
        weight: ``(n,)`` float64, pixels that this one stands for.
        group: ``(n,)`` int32, image or sequence of the pixel, from 0.
        num_classes: C.
        num_groups: G; groups without a labelled pixel count.
    """

    scores: np.ndarray
    classes: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    num_classes: int
    num_groups: int

    def __len__(self) -> int:
        return len(self.label)

    def shifted(self, offsets: np.ndarray) -> ScoreSample:
        """Return the sample of a model whose scores have ``(C,)`` ``offsets`` added."""
        scores = (self.scores + offsets[self.classes]).astype(np.float32)
        order = np.argsort(-scores, 1, kind='stable')
        return replace(self, scores=np.take_along_axis(scores, order, 1), classes=np.take_along_axis(self.classes, order, 1))


def sample_image(logits: Any, label: Any, *, ignore_index: int = 255, budget: int = 20_000,
                 keep: int = KEPT) -> dict[str, np.ndarray]:
    """Return ``scores, classes, label, weight`` of about ``budget`` pixels of an image.

    Pixels are sorted into strata by label, largest and second largest class, and within a stratum by the gap between the two.
    From each stratum come about equally many, dense where the gap is small, and each stands for the pixels around it. So the
    weights give the counts of the undisturbed prediction exactly, and those after a shift of the scores nearly. No random
    number is involved. An image with many strata, or many pairs of label and prediction, may take more than the budget.

    Args:
        logits: ``(C, ...)`` scores, larger is likelier; an array or a tensor on any device.
        label: ``(...)`` labels of the same size, in ``[0, C)`` or ``ignore_index``.
        ignore_index: The label of pixels that do not count.
        budget: Pixels to keep.
        keep: Largest scores of a pixel to keep, at least 2 (C, if that is less).

    Raises:
        ValueError: The sizes differ, a label is out of range, or a score is NaN.
    """
    parts = [(*_largest(scores, keep), target) for scores, target in valid_strips(logits, label, ignore_index)]
    scores, classes, target = (np.concatenate(part) for part in zip(*parts, strict=True))
    if np.isnan(scores).any():
        raise ValueError('`logits` must be numbers, got NaN')
    chosen, weight = _choose(scores, classes, target, budget)
    return {'scores': scores[chosen], 'classes': classes[chosen], 'label': target[chosen], 'weight': weight}


def valid_strips(logits: Any, label: Any, ignore_index: int = 255, strip: int = STRIP) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Give the labelled pixels of an image, ``strip`` pixels at a time: ``(n, C)`` float32 scores and ``(n,)`` int16 labels.

    Args:
        logits: ``(C, ...)`` scores; they stay on their device.
        label: ``(...)`` labels, in ``[0, C)`` or ``ignore_index``.
        ignore_index: The label of pixels that do not count.
        strip: Pixels at a time.

    Raises:
        ValueError: The sizes differ, or a label is out of range.
    """
    label = label.cpu().numpy() if isinstance(label, Tensor) else np.asarray(label)
    logits, target = torch.as_tensor(logits), torch.from_numpy(label.astype(np.int64))
    if logits.shape[1:] != target.shape:
        raise ValueError(f'`label` must have the size of `logits` {tuple(logits.shape[1:])}, got {tuple(target.shape)}')
    valid = target != ignore_index
    wrong = valid & ((target < 0) | (target >= len(logits)))
    if bool(wrong.any()):
        raise ValueError(f'`label` must be in [0, {len(logits)}) or {ignore_index}, got {int(target[wrong][0])}')
    flat, target, valid = logits.flatten(1), target.flatten(), valid.flatten()
    for start in range(0, max(1, len(target)), strip):  # once for an image without pixels
        part = valid[start:start + strip]
        yield flat[:, start:start + strip].t()[part.to(flat.device)].float(), target[start:start + strip][part].numpy().astype(
            np.int16)


def pool(images: Sequence[dict[str, np.ndarray]], num_classes: int, groups: Sequence[Any] | None = None) -> ScoreSample:
    """Join the samples of :func:`sample_image` to one.

    Args:
        images: One entry per image.
        num_classes: C.
        groups: What belongs together (the sequence of a frame, say), one entry per image; every image for itself without.

    Raises:
        ValueError: There is no image, or ``groups`` has another length.
    """
    if not len(images):
        raise ValueError('`images` must be at least one, got none')
    names = list(range(len(images))) if groups is None else list(groups)
    if len(names) != len(images):
        raise ValueError(f'`groups` must have one entry per image ({len(images)}), got {len(names)}')
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    width = max(image['scores'].shape[1] for image in images)
    scores = np.concatenate([_wide(image['scores'], width, -np.inf) for image in images])
    classes = np.concatenate([_wide(image['classes'], width, 0) for image in images])
    group = np.repeat([number[name] for name in names], [len(image['label']) for image in images]).astype(np.int32)
    label, weight = (np.concatenate([image[key] for image in images]) for key in ('label', 'weight'))
    return ScoreSample(scores, classes, label, weight, group, num_classes, len(number))


def budget_per_image(num_images: int, budget: int = BUDGET) -> int:
    """Return how many pixels of each image make ``budget`` together, at least 500."""
    return max(LEAST, budget // max(1, num_images))


def _largest(scores: Tensor, keep: int) -> tuple[np.ndarray, np.ndarray]:
    top = scores.topk(min(max(keep, 2), scores.shape[1]), dim=1)
    values, classes = top.values.cpu().numpy(), top.indices.cpu().numpy().astype(np.int16)
    tied = np.flatnonzero((values[:, 1:] == values[:, :-1]).any(1))  # argmax takes the lower class
    classes[tied] = np.take_along_axis(classes[tied], np.lexsort((classes[tied], -values[tied])), 1)
    return values, classes


def _choose(scores: np.ndarray, classes: np.ndarray, label: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels are kept, and how many each stands for."""
    first, second = classes[:, 0].astype(np.int64), classes[:, min(1, classes.shape[1] - 1)]
    coarse = label * (np.int64(1) << 15) + first
    key = (coarse << 15) + second
    size = np.unique(key, return_counts=True)[1]
    if (cap := _cap(size, budget)) < FINE:
        key = coarse
        size = np.unique(key, return_counts=True)[1]
        cap = _cap(size, budget)
    gap = scores[:, 0] - scores[:, min(1, scores.shape[1] - 1)]
    order = np.lexsort((gap, key))
    kept = np.minimum(size, cap)
    stratum = np.repeat(np.arange(len(size)), kept)
    i = np.arange(len(stratum)) - np.repeat(np.cumsum(kept) - kept, kept)
    edges = [_edge(i + step, size[stratum], kept[stratum]) for step in (0, 1)]
    start = (np.cumsum(size) - size)[stratum]
    return order[start + (edges[0] + edges[1] - 1) // 2], (edges[1] - edges[0]).astype(np.float64)


def _edge(i: np.ndarray, size: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return where block ``i`` of ``kept`` begins in a stratum: from single pixels to blocks that grow linearly."""
    return i + ((size - kept) * (i / kept) ** 2).astype(np.int64)


def _cap(size: np.ndarray, budget: int) -> int:
    """Return the largest m, at least 1, with ``sum(min(size, m)) <= budget``; the largest size where all fits."""
    low, high = 1, int(size.max(initial=1))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(size, middle).sum() <= budget else (low, middle - 1)
    return low


def _wide(values: np.ndarray, width: int, fill: float) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=fill)
