"""A crop that shows rare classes more often."""
# ruff: noqa: NPY002  (transforms draw from numpy's global generator, which every worker seeds)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop

from ..checks import number, whole_number
from ..registry import TRANSFORMS
from ..scan.counting import histogram
from ..stats import ClassStats
from .labelled_items import check_min_pixels, check_temperature, rare_class_probability

Box = tuple[int, int, int, int]


@TRANSFORMS.register_module()
class RareClassCrop(RandomCrop):
    """Crops around a class of the image, rare ones more often (after DAFormer, arXiv 2111.14887).

    It stands in the place of ``RandomCrop``. A class is drawn among those in the image with the probability
    ``softmax((1 - f) / temperature)``, with ``f`` its share of the labelled pixels of the training split; then a crop that
    contains a random pixel of it, until one holds ``min_pixels`` of the class, or all of them if the image has fewer. Of
    ``max_tries`` crops that all hold fewer, the one with the most is taken. An image without labels gets a random crop.

    Args:
        crop_size: ``(height, width)``, or one number for both. Smaller images are taken whole, as ``RandomCrop`` does.
        stats: Path of the scanner report of the training split, which is read at the first image; a ``ClassStats``; or a dict.
        temperature: Above 0; the smaller, the more often the rarest classes.
        min_pixels: Pixels of the class in the crop.
        max_tries: Crops that are tried.
        prob: Probability of such a crop; otherwise the crop is random.
        ignore_index: Label of pixels without a class.

    Raises:
        ValueError, TypeError: An argument is out of its range; at the first image, ``stats`` is no report, or a label map
            holds classes that it does not have.
        FileNotFoundError: At the first image, the report is not there.
    """

    _methods_with_randomness: ClassVar[list[str]] = []  # mmcv adds names to it; without, to that of RandomCrop

    def __init__(self, crop_size: int | Sequence[int], stats: Any, temperature: float = 0.01, *, min_pixels: int = 1000,
                 max_tries: int = 10, prob: float = 1.0, ignore_index: int = 255) -> None:
        size = tuple(crop_size) if isinstance(crop_size, (list, tuple)) else (crop_size, crop_size)
        if len(size) != 2:
            raise ValueError(f'`crop_size` must be a number or (height, width), got {crop_size!r}')
        super().__init__((whole_number('crop_size', size[0], least=1), whole_number('crop_size', size[1], least=1)),
                         ignore_index=whole_number('ignore_index', ignore_index))
        self.temperature = check_temperature(temperature)
        self.min_pixels = check_min_pixels(min_pixels)
        if self.min_pixels > size[0] * size[1]:
            raise ValueError(f'`min_pixels` must be at most the pixels of a crop ({size[0] * size[1]}), got {min_pixels!r}')
        self.max_tries = whole_number('max_tries', max_tries, least=1)
        self.prob = number('prob', prob, least=0, most=1)
        self._stats = stats
        self._pixels: tuple[int, ...] | None = None

    @cache_randomness
    def crop_bbox(self, results: dict) -> Box:
        """Return the crop as ``(top, bottom, left, right)``; it exceeds an image that is smaller."""
        label = results['gt_seg_map']
        if self.prob < 1 and np.random.rand() >= self.prob:
            return self._random_box(label.shape)
        present = self._present(label)
        if not present.any():
            return self._random_box(label.shape)
        drawn = np.random.choice(len(present), p=rare_class_probability(self.pixels, self.temperature, present))
        return self._box_of(label == drawn)

    @property
    def pixels(self) -> tuple[int, ...]:
        """Labelled pixels of each class in the training split."""
        if self._pixels is None:
            self._pixels = ClassStats.load(self._stats).pixels
        return self._pixels

    def _present(self, label: np.ndarray) -> np.ndarray:
        """``(C,)`` mask of the classes in a label map."""
        values = np.flatnonzero(histogram(label)) if label.dtype == np.uint8 else np.unique(label)
        values = values[values != self.ignore_index]
        if len(values) and not 0 <= values[0] <= values[-1] < len(self.pixels):
            raise ValueError(f'`gt_seg_map` must have labels below {len(self.pixels)}, the number of classes of `stats`, or '
                             f'{self.ignore_index}, got {values[-1] if values[0] >= 0 else values[0]}')
        present = np.zeros(len(self.pixels), bool)
        present[values] = True
        return present

    def _box_of(self, mask: np.ndarray) -> Box:
        """Return the first tried crop with enough pixels of ``mask``, or the one with the most."""
        until_row = np.cumsum(cv2.reduce(mask.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S), dtype=np.int64)
        enough = min(self.min_pixels, int(until_row[-1]))
        best, most = (0, 0, 0, 0), -1
        for _ in range(self.max_tries):
            pixel = np.random.randint(until_row[-1])
            row = int(np.searchsorted(until_row, pixel, side='right'))
            column = int(np.flatnonzero(mask[row])[pixel - until_row[row]])  # from the end of the row
            box = self._random_box(mask.shape, (row, column))
            held = int(np.count_nonzero(self.crop(mask, box)))
            if held > most:
                best, most = box, held
            if most >= enough:
                break
        return best

    def _random_box(self, shape: tuple[int, ...], pixel: tuple[int, int] | None = None) -> Box:
        """Return a random crop of an image of this shape; it contains ``pixel`` if that is given."""
        top, left = (self._offset(axis, shape[axis], None if pixel is None else pixel[axis]) for axis in range(2))
        return top, top + self.crop_size[0], left, left + self.crop_size[1]

    def _offset(self, axis: int, length: int, at: int | None) -> int:
        last = max(length - self.crop_size[axis], 0)
        if at is None:
            return np.random.randint(last + 1)
        return np.random.randint(max(at - self.crop_size[axis] + 1, 0), min(at, last) + 1)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, temperature={self.temperature}, '
                f'min_pixels={self.min_pixels}, max_tries={self.max_tries}, prob={self.prob})')
