"""Numbers that follow from the counts: shares, imbalance ratio, Gini coefficient, and the classes that need attention."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..printable import printable
from .class_stats import ClassStats

FEW_IMAGES = 20  # below this a class can hardly be learned, whatever the loss
RARE_IMAGES = 0.05  # share of the images below which random batches often lack a class


@dataclass(frozen=True)
class Derived:
    """What follows from a :class:`ClassStats`.

    Args:
        prior: Share of each class among the labelled pixels.
        ratio: Pixels of the most frequent class over those of the rarest one that occurs.
        gini: See :func:`gini`.
        most: The most frequent class.
        least: The rarest class that occurs.
        group: ``'head'``, ``'medium'`` or ``'tail'`` of each class.
        absent: Classes that never occur.
        few_images: Classes in fewer than 20 images, the rarest first.
        rare_images: Classes in fewer than 5 % of the images, the rarest first; those of ``few_images`` among them.
        ignored: Share of the pixels without a label, None if it was not counted.
    """

    prior: tuple[float, ...]
    ratio: float
    gini: float
    most: int
    least: int
    group: tuple[str, ...]
    absent: tuple[int, ...]
    few_images: tuple[int, ...]
    rare_images: tuple[int, ...]
    ignored: float | None


def derive(stats: ClassStats) -> Derived:
    """Return all derived numbers; those on images are empty where ``stats`` holds no images.

    >>> found = derive(ClassStats(pixels=(90, 9, 0, 1)))
    >>> found.ratio, found.absent, found.group
    (90.0, (2,), ('head', 'head', 'tail', 'medium'))
    """
    total, order = sum(stats.pixels), stats.order()
    present = [c for c in order if stats.pixels[c]]
    groups = {c: name for name, members in stats.groups().items() for c in members}
    images = stats.images or ()
    rarest = sorted(present, key=lambda c: (images[c], c)) if images else []
    ignored = None if stats.ignored_pixels is None else stats.ignored_pixels / (stats.ignored_pixels + total)
    return Derived(
        prior=tuple(pixels / total for pixels in stats.pixels),
        ratio=stats.pixels[present[0]] / stats.pixels[present[-1]],
        gini=gini(stats.pixels), most=present[0], least=present[-1],
        group=tuple(groups[c] for c in range(stats.num_classes)),
        absent=tuple(sorted(set(range(stats.num_classes)) - set(present))),
        few_images=tuple(c for c in rarest if images[c] < FEW_IMAGES),
        rare_images=tuple(c for c in rarest if stats.num_images and images[c] < RARE_IMAGES * stats.num_images),
        ignored=ignored)


def rarest(stats: ClassStats, most: int) -> list[int]:
    """Return the classes that occur less often than if all were equally frequent, the rarest first; at least one.

    Classes that never occur are left out.

    >>> rarest(ClassStats(pixels=(53, 40, 7, 0)), 6), rarest(ClassStats(pixels=(1, 1)), 6)
    ([2], [1])
    """
    present = [c for c in reversed(stats.order()) if stats.pixels[c]]
    rare = [c for c in present if stats.pixels[c] * len(present) < sum(stats.pixels)]
    return rare[:most] or present[:1]


def gini(counts: tuple[int, ...]) -> float:
    """Return the Gini coefficient of counts: 0 if all are equal, ``1 - 1/C`` if one class has all.

    It is half the mean absolute difference of two classes over the mean count; classes that never occur take part.

    >>> gini((5, 5, 5)), gini((0, 0, 0, 8))
    (0.0, 0.75)
    """
    ordered = np.sort(np.array(counts, np.float64))
    rank = np.arange(1, len(ordered) + 1)
    return float((2 * rank - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def class_labels(stats: ClassStats) -> tuple[str, ...]:
    """Return the class names as they can be shown, or the class ids as text where there are none."""
    return tuple(map(printable, stats.classes)) if stats.classes else tuple(map(str, range(stats.num_classes)))
