"""Weights of the classes of queries, from the number of images that hold a class."""
from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import number
from ..functional import query_weights
from ..stats import ClassStats

MAX_RATIO, NO_OBJECT = 5.0, 0.1  # the latter of the papers' configs


def image_counts(source: Any) -> Tensor:
    """Return the float64 ``(C,)`` numbers of images that hold each class.

    Raises:
        ValueError: The statistics have pixel counts alone, or pixel counts in their place.
    """
    stats = ClassStats.load(source)
    if stats.images is None:
        raise ValueError('`stats` must hold `images` for a loss on queries (a class has one query per image that holds it; '
                         '`mmimb scan` counts them), got pixel counts alone')
    if stats.images == stats.pixels:
        raise ValueError('`stats` must hold numbers of images in `images` for a loss on queries, got the pixel counts '
                         f'{list(stats.images[:3])}{" ..." if stats.num_classes > 3 else ""}')
    return stats.counts('images')


def no_object_weight(value: Any) -> float:
    """Return the weight of queries that match nothing: a number of at least 0."""
    return number('no_object', value, least=0)


def weights_of_queries(source: Any, max_ratio: float = MAX_RATIO, no_object: float = NO_OBJECT) -> list[float]:
    """Return the C + 1 weights that ``QueryCrossEntropyLoss`` takes from statistics; errors as for :func:`image_counts`."""
    ratio = number('max_ratio', max_ratio, least=1)
    values: list[float] = query_weights(image_counts(source), ratio, no_object_weight(no_object)).tolist()
    return values
