"""Which items of a dataset contain which class: the per-image counts of a scanner report, matched with the dataset."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import number, whole_number
from ..scan import fingerprint
from ..scan.sources import class_names, hash_names, leaves
from ..stats import ClassStats, PerImageCounts


class LabelledItems:
    """The items of a training dataset by class.

    Args:
        dataset: A built mmseg dataset, or mmengine's or mmseg's wrappers around some.
        stats: Path of the report of ``mmimb scan`` on this dataset.

    Raises:
        FileNotFoundError: The report or the file of its per-image counts is not there.
        ValueError, TypeError: The report has no per-image counts, or is of other classes or other files than the dataset.
    """

    def __init__(self, dataset: Any, stats: Any) -> None:
        if isinstance(stats, (ClassStats, Mapping)):
            raise ValueError('`stats` must be the path of a scanner report (a sampler needs the counts of every image, which '
                             f'lie beside it), got a {type(stats).__name__}')
        self._item_image = item_positions(dataset)
        classes = class_names(dataset)
        self.stats = ClassStats.load(stats).fit(len(classes), classes, 'the training dataset')
        counts = PerImageCounts.load(stats)
        if hash_names(counts.files) != fingerprint(dataset):
            raise ValueError(f'`stats` must be of the label files of the training dataset, in order, got {str(stats)!r} of '
                             f'{len(counts)} others; scan it again')
        self.counts = counts
        self._image = np.repeat(np.arange(len(counts)), np.diff(counts.indptr))  # (nnz,), the image of each count

    def __len__(self) -> int:
        return len(self._item_image)

    @property
    def num_classes(self) -> int:
        return self.stats.num_classes

    def by_class(self, min_pixels: int = 1) -> list[npt.NDArray[np.int64]]:
        """Return for every class the items with at least ``min_pixels`` of it; if there are none, all items that contain it."""
        return [self._containing(c, min_pixels) for c in range(self.num_classes)]

    def _containing(self, c: int, min_pixels: int) -> npt.NDArray[np.int64]:
        mine = self.counts.class_index == c
        enough = mine & (self.counts.pixels >= min_pixels)
        chosen = np.zeros(len(self.counts), bool)
        chosen[self._image[enough if enough.any() else mine]] = True
        return np.flatnonzero(chosen[self._item_image])

    def largest_of(self, values: npt.NDArray[np.float64], least: float) -> npt.NDArray[np.float64]:
        """Return for every item the maximum of the ``(C,)`` values over its classes, but at least ``least``."""
        largest = np.full(len(self.counts), least)
        np.maximum.at(largest, self._image, values[self.counts.class_index])
        return largest[self._item_image]


def rare_class_probability(pixels: Any, temperature: float, candidates: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return ``softmax((1 - f) / temperature)`` over the candidates, 0 elsewhere (DAFormer, arXiv 2111.14887).

    Args:
        pixels: ``(C,)`` pixels of each class; ``f`` is a class' share of them.
        temperature: Above 0. The smaller, the more the rarest classes dominate; large values give all the same probability.
        candidates: ``(C,)`` mask with at least one class.
    """
    share = np.asarray(pixels, np.float64)
    share = share / share.sum()
    weight = np.zeros(len(share))
    weight[candidates] = np.exp((share[candidates].min() - share[candidates]) / temperature)
    return weight / weight.sum()


def check_temperature(temperature: Any) -> float:
    """Return ``temperature`` if it is a number above 0; otherwise raise a ``ValueError``."""
    return number('temperature', temperature, above=0)


def check_min_pixels(min_pixels: Any) -> int:
    """Return ``min_pixels`` if it is an integer of at least 1; otherwise raise an error that says the rule."""
    return whole_number('min_pixels', min_pixels, least=1)


def item_positions(dataset: Any) -> npt.NDArray[np.int64]:
    """Return for every item of the dataset the position of its file in the scanner's list, which names each file once.

    Raises:
        ValueError: A wrapper does not say what its items are.
    """
    from mmengine.dataset import RepeatDataset

    if isinstance(dataset, RepeatDataset):  # may repeat a few images 40,000 times: no loop over all of them
        return np.tile(item_positions(dataset.dataset), dataset.times)
    if not hasattr(dataset, 'get_data_info'):
        raise ValueError(f'`dataset` must have `get_data_info`, which tells the file of an item, got {type(dataset).__name__}')
    position: dict[tuple[str | None, str], int] = {}
    for leaf in leaves(dataset):
        for key in _files(leaf):
            position.setdefault(key, len(position))
    return np.array([position[key] for key in _files(dataset)], np.int64)


def _files(dataset: Any) -> Iterator[tuple[str | None, str]]:
    """Image and label file of every item."""
    for item in range(len(dataset)):
        info = dataset.get_data_info(item)
        yield info.get('img_path'), info['seg_map_path']
