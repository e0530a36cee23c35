"""Counter-based random numbers: functions of a seed and a position, not of what was drawn before."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

WORDS = 4  # 64-bit words that Philox gives for one value of its counter
BLOCK = 1024


def words(seed: int, start: int, count: int) -> npt.NDArray[np.uint64]:
    """Return ``(count, 4)`` random 64-bit words, those of the positions from ``start`` on (Philox 4x64, keyed by the seed)."""
    return np.random.Philox(key=seed, counter=start).random_raw(WORDS * count).reshape(count, WORDS)


def unit(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Turn random words into float64 numbers in [0, 1)."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


class PairStream:
    """Pairs of random numbers in [0, 1) by position. They are computed in blocks, of which the latest is kept."""

    def __init__(self) -> None:
        self._block: tuple[int, int] | None = None
        self._pairs: Any = None

    def __call__(self, seed: int, position: int) -> tuple[float, float]:
        """Return the pair at ``position``; it depends on the seed and the position only."""
        block, offset = divmod(position, BLOCK)
        if self._block != (seed, block):
            self._pairs = unit(words(seed, block * BLOCK, BLOCK)[:, :2])
            self._block = seed, block
        first, second = self._pairs[offset]
        return float(first), float(second)
