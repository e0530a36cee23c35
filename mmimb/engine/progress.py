"""How far long work is: a bar on a terminal, a line every half minute elsewhere, such as in the log of a job."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 30.0  # seconds between lines


@contextmanager
def progress_bar(unit: str = 'image') -> Iterator[Callable[[int, int], None]]:
    """Yield a callback ``(done, total)`` that shows on stderr how much of the work is done."""
    if not sys.stderr.isatty():
        yield Lines(unit)
        return
    from tqdm import tqdm

    with tqdm(unit=unit, leave=False, dynamic_ncols=True) as bar:
        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
        yield update


class Lines:
    """Says how far the work is, when it is called and :data:`EVERY` seconds have gone since it last did.

    Args:
        unit: What is counted, in the singular.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.begin = self.last = time.monotonic()

    def __call__(self, done: int, total: int, doing: str = '') -> None:
        """Take note that ``done`` of ``total`` are done, and of what is being done."""
        now = time.monotonic()
        if now - self.last < EVERY or done >= total:
            return
        self.last = now
        text = f'{done:,} of {total:,} {self.unit}s' + (f', now: {doing}' if doing else '')
        if done:
            text += f', about {_duration((now - self.begin) / done * (total - done))} left'
        print(text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f'{seconds:.0f} s' if seconds < 100 else f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'
