"""Worker processes with a pipe each and no locks. A worker ends when its parent does."""
from __future__ import annotations

import gc
import multiprocessing as mp
import signal
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from ..signals import SIGNALS, end_with_parent

AHEAD = 2  # tasks in the pipe of a worker, so that it never waits for the next one
LARGEST_TASK = 32
KEPT_MEMORY = 24 * 2**20  # below 32 MiB, the limit of glibc's dynamic mmap threshold


def read_ranges(reader: Any, ranges: Sequence[tuple[int, int]], workers: int) -> Iterator[Any]:
    """Yield ``reader.read(start, stop)`` for pieces that cover the ranges, in any order.

    Args:
        reader: What reads; every worker process gets a copy of it.
        ranges: ``(start, stop)`` of the positions to read.
        workers: Processes that read; 0 reads in this one.

    Raises:
        ChildProcessError: A worker was killed.
    """
    keep_freed_memory()
    if workers == 0:
        for start, stop in _tasks(ranges, 1):
            yield reader.read(start, stop)
        return
    pool = _Pool(reader, workers)
    try:
        yield from pool.run(_tasks(ranges, workers))
    finally:
        pool.close()


def keep_freed_memory() -> None:
    """Raise glibc's mmap threshold, by freeing one large block, so that the memory of each label is used again for the next.

    Otherwise it goes back to the kernel after each label. Saves 1 to 2 ms of 8 on 2-megapixel labels; other allocators are
    not affected.
    """
    np.empty(KEPT_MEMORY, np.uint8)


def _tasks(ranges: Sequence[tuple[int, int]], workers: int) -> Iterator[tuple[int, int]]:
    """Split the ranges into tasks that get smaller towards the end, so that all workers end together."""
    left = sum(stop - start for start, stop in ranges)
    for start, stop in ranges:
        while start < stop:
            size = min(max(1, left // (8 * workers)), LARGEST_TASK, stop - start)
            yield start, start + size
            start, left = start + size, left - size


class _Pool:
    def __init__(self, reader: Any, workers: int) -> None:
        context: Any = mp.get_context('fork' if 'fork' in mp.get_all_start_methods() else None)
        self.processes: dict[Connection, Any] = {}
        gc.freeze()  # a collection in a worker would copy the parent's pages
        try:
            for _ in range(workers):
                mine, theirs = context.Pipe()
                process = context.Process(target=_work, args=(reader, theirs, [*self.processes, mine]), daemon=True)
                process.start()
                theirs.close()
                self.processes[mine] = process
        finally:
            gc.unfreeze()

    def run(self, tasks: Iterator[tuple[int, int]]) -> Iterator[Any]:
        busy = dict.fromkeys(self.processes, 0)
        idle = deque(pipe for _ in range(AHEAD) for pipe in self.processes)
        while True:
            while idle and (task := next(tasks, None)) is not None:
                pipe = idle.popleft()
                self._guard(pipe, pipe.send, task)
                busy[pipe] += 1
            active = [pipe for pipe, count in busy.items() if count]
            if not active:
                return
            ready = wait(active)
            for pipe in [pipe for pipe in active if pipe in ready]:
                result = self._guard(pipe, pipe.recv)
                busy[pipe] -= 1
                idle.append(pipe)
                if isinstance(result, Exception):
                    raise result
                yield result

    def _guard(self, pipe: Connection, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except (EOFError, OSError) as error:
            process = self.processes[pipe]
            process.join(1)
            raise ChildProcessError(f'a worker process must stay alive, got one that ended with status {process.exitcode} '
                                    '(-9: killed, perhaps for want of memory; use fewer --workers)') from error

    def close(self) -> None:
        for pipe, process in self.processes.items():
            pipe.close()
            process.kill()  # it only reads
        for process in self.processes.values():
            process.join()


def _work(reader: Any, pipe: Connection, parents: Sequence[Connection]) -> None:
    """Answer tasks until the parent's end of the pipe is closed; runs in a worker."""
    end_with_parent()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # sent to all processes of a terminal or job: the parent decides
    for other in parents:
        other.close()  # inherited: a pipe that a sibling holds open does not close when the parent dies
    _be_quiet()
    with suppress(EOFError, OSError):
        while True:
            start, stop = pipe.recv()
            try:
                answer: Any = reader.read(start, stop)
            except Exception as error:
                answer = error
            pipe.send(answer)


def _be_quiet() -> None:
    import cv2
    import torch
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
