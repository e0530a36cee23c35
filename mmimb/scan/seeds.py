"""The random streams that transforms draw from."""
from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def set_seeds(*numbers: int) -> None:
    """Seed all that transforms draw from."""
    first, second, third = np.random.SeedSequence(numbers).generate_state(3).tolist()
    random.seed(first)
    np.random.seed(second)  # noqa: NPY002  (what the transforms use)
    torch.manual_seed(third)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Put the random states back when it is left."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
