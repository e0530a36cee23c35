"""The base of all samplers: one stream of draws for all ranks, which each rank reads in turn."""
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
        seed: Of the stream, equal on all ranks. By default a random one, on which the ranks agree.
        infinite: True: one endless stream, for iteration-based loops, like mmengine's ``InfiniteSampler``. False, for
            epoch-based loops: epoch e consists of the draws ``e * total_size`` to ``(e + 1) * total_size - 1``.
        epoch_size: Draws of an epoch, of all ranks together; rounded up to a multiple of the number of ranks.
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
        self._next = 0  # draws before it were handed out by some rank, if all ranks are as far as this one

    @abstractmethod
    def draw(self, k: int) -> int:
        """Return the index of the item that is draw ``k`` of the stream, counted over all ranks."""

    def __iter__(self) -> Iterator[int]:
        """Yield the draws of this rank: those of the current epoch, or the endless stream from its current position on."""
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
        """Return the draws of this rank in an epoch; for the endless stream those of all ranks, as ``InfiniteSampler`` does."""
        return self.epoch_size if self.infinite else self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iterator. The endless stream has no epochs."""
        self.epoch = epoch

    @property
    def skip(self) -> Callable[[int], None]:
        """``skip(num_samples)`` moves to the draw after the first ``num_samples`` draws of this rank.

        A loop calls it to resume without reading old batches again. Only the endless stream has it: an epoch may end with a
        smaller batch, so that the number of iterations does not give the number of draws.
        """
        if not self.infinite:
            raise AttributeError('`infinite` must be True to skip draws, got False')
        return self._skip

    def _skip(self, num_samples: int) -> None:
        self._next = whole_number('num_samples', num_samples, least=0) * self.world_size

    def state_dict(self) -> dict[str, Any]:
        """Return what the draws depend on, as plain data. The loop restores the position."""
        return {'seed': self.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state, so that all draws are those of the saved sampler, also in an iterator that exists already."""
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
    """Return the cumulative sum of non-negative weights, scaled so that the last entry is exactly 1."""
    total = np.cumsum(weight / np.max(weight))
    return total / total[-1]
