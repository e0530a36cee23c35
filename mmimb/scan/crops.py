"""What batches hold: labels are counted after the whole pipeline of the dataset, with resizing, cropping and flipping."""
from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..checks import whole_number
from ..files import require_regular
from ..stats.npz import Array
from .counting import class_counts, value_counts
from .labels import packed_labels
from .pool import read_ranges
from .seeds import kept_random_state, set_seeds
from .sources import class_names, ignored_label, leaves


@dataclass(frozen=True)
class CropCounts:
    """Counts of the labels in random crops.

    Args:
        per_image: Crops of each image.
        seed: Of the random crops.
        pixels: Labelled pixels of each class.
        images: Crops that hold each class.
        ignored_pixels: Pixels without a label, including those that a transform padded.
        num_crops: Crops that could be counted.
        problems: Why the other crops could not be counted, a line for each image.
    """

    per_image: int
    seed: int
    pixels: tuple[int, ...]
    images: tuple[int, ...]
    ignored_pixels: int
    num_crops: int
    problems: tuple[str, ...] = field(default=(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry ``crops`` of a report."""
        return {'per_image': self.per_image, 'seed': self.seed, 'pixels': list(self.pixels), 'images': list(self.images),
                'ignored_pixels': self.ignored_pixels, 'num_crops': self.num_crops}


class Crop(NamedTuple):
    """The classes of one crop with their pixels; ``problem`` says why there are none."""

    item: int
    class_index: Array
    pixels: Array
    ignored: int
    problem: str = ''


class CropCounter:
    """Maps numbers to the counts of crops: crop ``k`` of item ``i`` has the number ``i * per_image + k``.

    The random numbers of a crop follow from the seed, the item and ``k``, so that it does not matter which process draws it.
    """

    def __init__(self, dataset: Any, per_image: int, seed: int, ignore_index: int | None) -> None:
        self.dataset = _without_repeats(dataset)
        self.per_image, self.seed = per_image, seed
        self.num_classes = len(class_names(dataset))
        self.ignore_index = ignored_label(leaves(dataset)[0]) if ignore_index is None else ignore_index

    def __len__(self) -> int:
        return len(self.dataset) * self.per_image

    def read(self, start: int, stop: int) -> list[Crop]:
        """Return the counts of the crops ``[start, stop)``."""
        return [self._read(number) for number in range(start, stop)]

    def _read(self, number: int) -> Crop:
        item, k = divmod(number, self.per_image)
        set_seeds(self.seed, item, k)
        try:
            for path in self._files(item):
                require_regular(path)
            labels = _packed(self.dataset[item])
        except Exception as error:  # any error of a pipeline is noted with its image, and counting goes on
            text = ' '.join(str(error).split()) or type(error).__name__
            return Crop(item, np.zeros(0, np.int32), np.zeros(0, np.int64), 0, f'{self._name(item)}: {text}')
        counts = class_counts(*value_counts(labels), self.num_classes, self.ignore_index)
        return Crop(item, counts.class_index, counts.pixels, counts.ignored)

    def _files(self, item: int) -> list[str]:
        """Return what the pipeline will open, as far as the dataset tells."""
        with suppress(Exception):
            info = self.dataset.get_data_info(item)
            return [info[key] for key in ('img_path', 'seg_map_path') if os.path.exists(info[key])]
        return []

    def _name(self, item: int) -> str:
        info = self.dataset.get_data_info(item) if hasattr(self.dataset, 'get_data_info') else {}
        return str(info.get('img_path', f'image {item}'))


def count_crops(dataset: Any, per_image: int, seed: int = 0, *, workers: int = 0, ignore_index: int | None = None,
                progress: Callable[[int, int], None] | None = None) -> CropCounts:
    """Run the pipeline of ``dataset`` ``per_image`` times on every image and count the labels that come out.

    An image that a wrapper repeats more often than others counts more often. ``RepeatDataset``, which repeats all alike, is
    taken as one pass.

    Args:
        dataset: A built mmseg dataset, or wrappers around some, with a pipeline that packs its result.
        per_image: Crops of each image.
        seed: Any number of at least 0; the counts follow from it, whatever ``workers`` is.
        workers: Processes that read; 0 reads here.
        ignore_index: What the heads ignore; by default what the dataset says.
        progress: Called after each crop with the number done and the number of all.

    Raises:
        TypeError, ValueError: An argument is out of its range, or no crop has a labelled pixel.
        ChildProcessError: A worker was killed.
    """
    whole_number('crops', per_image, least=1)
    whole_number('seed', seed, least=0)
    whole_number('workers', workers, least=0)
    counter = CropCounter(dataset, per_image, seed, ignore_index)
    pixels, images = np.zeros(counter.num_classes, np.int64), np.zeros(counter.num_classes, np.int64)
    ignored, done, problems = 0, 0, dict[int, str]()
    with kept_random_state():
        pieces = read_ranges(counter, [(0, len(counter))], min(workers, len(counter)))
        for number, crop in enumerate(chain.from_iterable(pieces), start=1):
            if crop.problem:
                problems[crop.item] = min(crop.problem, problems.get(crop.item, crop.problem))  # crops come in any order
            else:
                pixels[crop.class_index] += crop.pixels
                images[crop.class_index] += 1
                ignored, done = ignored + crop.ignored, done + 1
            if progress is not None:
                progress(number, len(counter))
    if not pixels.any():
        raise ValueError(f'`pipeline` must give labelled pixels, got none in {len(counter)} crops'
                         + (f' ({problems[min(problems)]})' if problems else ''))
    return CropCounts(per_image, seed, tuple(pixels.tolist()), tuple(images.tolist()), ignored, done,
                      tuple(problems[item] for item in sorted(problems)))


def _without_repeats(dataset: Any) -> Any:
    from mmengine.dataset import RepeatDataset
    return _without_repeats(dataset.dataset) if isinstance(dataset, RepeatDataset) else dataset


def _packed(data: Any) -> Array:
    """Return the labels in the result of a pipeline, whether or not it ends in PackSegInputs.

    Raises:
        TypeError: There are none.
    """
    labels = packed_labels(data)
    if labels is None:
        raise TypeError('`pipeline` must end in PackSegInputs with labels, got none')
    return labels
