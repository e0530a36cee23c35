"""What all samplers share: a stream of draws that ranks deal out, and its position."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ..checks import whole_number
from .draws import PairStream
from .labelled_items import LabelledItems


class DrawSampler(Sampler):
    """Draws items of the dataset; draw ``k`` depends on the seed and on ``k`` only. Rank r of W gets draws r, r + W, ...

    Args:
        items: The items of the dataset, with their labels.
        seed: Of the stream, the same on all ranks; without one the ranks agree on a random one.
        infinite: For iteration-based loops: one endless stream, as of mmengine's ``InfiniteSampler``. False is for
            epoch-based loops: epoch e consists of the draws from ``e * total_size`` on.
        epoch_size: Draws of an epoch over all ranks, rounded up so that the ranks have equally many.
    """

    def __init__(self, items: LabelledItems, seed: int | None, infinite: bool, *, epoch_size: int) -> None:
        if not isinstance(infinite, bool):
            raise TypeError(f'`infinite` must be True (iteration-based loops) or False (epoch-based loops), got {infinite!r}')
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else whole_number('seed', seed, least=0)
        self.infinite = infinite
        self.num_classes = items.num_classes
        self.epoch_size = epoch_size
        self.num_samples = -(-epoch_size // self.world_size)
        self.total_size = self.num_samples * self.world_size
        self.epoch = 0
        self._next = 0  # the first draw that no rank has handed out, if all are as far as this one

    @abstractmethod
    def draw(self, k: int) -> int:
        """Return the index of the item that is draw ``k`` of the stream, counted over all ranks."""

    def __iter__(self) -> Iterator[int]:
        """Yield the draws of this rank: of the current epoch, or from the current position of the endless stream on."""
        if self.infinite:
            while True:
                yield self._hand_out(self._next)
        first = self.epoch * self.total_size
        for start in range(first, first + self.total_size, self.world_size):
            yield self._hand_out(start)

    def _hand_out(self, start: int) -> int:
        self._next = start + self.world_size
        return self.draw(start + self.rank)

    def __len__(self) -> int:
        """Draws of this rank in an epoch; of the endless stream, those of all ranks, as ``InfiniteSampler`` has it."""
        return self.epoch_size if self.infinite else self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iterator yields; the endless stream has none."""
        self.epoch = epoch

    @property
    def skip(self) -> Callable[[int], None]:
        """``skip(num_samples)`` goes to the draw after the first ``num_samples`` of this rank, counted from the start.

        It is what a loop calls to resume without reading batches again. Only the endless stream has it: epochs may end with
        a smaller batch, so that the number of iterations does not tell the draw; loops step through those.
        """
        if not self.infinite:
            raise AttributeError('`infinite` must be True to skip draws, got False')
        return self._skip

    def _skip(self, num_samples: int) -> None:
        self._next = whole_number('num_samples', num_samples, least=0) * self.world_size

    def state_dict(self) -> dict[str, Any]:
        """Return what the draws depend on, as plain data; the position is the loop's to restore."""
        return {'seed': self.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make all draws those of the saved sampler, also for an iterator that exists already."""
        self.seed = whole_number('seed', state['seed'], least=0)


class ClassSampler(DrawSampler):
    """Draws a class, then uniformly one of the items that contain it.

    Args:
        items: The items of the dataset, with their labels.
        seed, infinite: As for :class:`DrawSampler`.
        min_pixels: Pixels of the class that an item must have to be drawn for it, unless none has as many.
    """

    def __init__(self, items: LabelledItems, seed: int | None, infinite: bool, *, min_pixels: int) -> None:
        super().__init__(items, seed, infinite, epoch_size=len(items))
        self.by_class = items.by_class(min_pixels)
        self.occurs = np.array([len(found) > 0 for found in self.by_class])
        if not self.occurs.any():
            raise ValueError('`dataset` must have an item with a labelled pixel, got none')
        self._pairs = PairStream()

    @abstractmethod
    def cumulative(self, k: int) -> Any:
        """Return the ``(C,)`` cumulative probability of the classes at draw ``k``."""

    def draw(self, k: int) -> int:
        first, second = self._pairs(self.seed, k)
        found = self.by_class[int(np.searchsorted(self.cumulative(k), first, side='right'))]
        return int(found[int(second * len(found))])


def cumulative_share(weight: Any) -> Any:
    """Return the running sum of non-negative weights, scaled so that the last is exactly 1."""
    total = np.cumsum(weight / np.max(weight))
    return total / total[-1]
