"""The question that needs two processes."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from .questions import Broken, question, same
from .tested_loss import IGNORE, Subject, value_and_grad


@question
def sync_avg(subject: Subject) -> None:
    """with sync_avg=True two ranks give the gradient of one rank with both batches"""
    (message,) = two_ranks([subject])
    if message:
        raise Broken(message)


def two_ranks(subjects: Sequence[Subject]) -> list[str]:
    """Ask :func:`sync_avg` of several losses in one pair of processes; an empty answer means that it holds."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank, (list(subjects), folder), nprocs=2)
        answers = [torch.load(os.path.join(folder, f'rank{rank}.pt')) for rank in range(2)]
    return [first or second for first, second in zip(*answers, strict=True)]


def _rank(rank: int, subjects: list[Subject], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    answers = []
    for subject in subjects:
        try:
            _compare(subject, rank)
            answers.append('')
        except Exception as error:
            answers.append(f'rank {rank}: {error}')
    torch.save(answers, os.path.join(folder, f'rank{rank}.pt'))
    with suppress(RuntimeError):  # a rank that leaves early would close the connection on one that still computes
        dist.barrier()
    dist.destroy_process_group()


def _compare(subject: Subject, rank: int) -> None:
    logits, target = subject.batch()
    target[1, 2:] = IGNORE  # ranks with different numbers of valid pixels
    value, grad = value_and_grad(subject.build(sync_avg=True), logits[rank:rank + 1], target[rank:rank + 1])
    dist.all_reduce(value)
    want, want_grad = _single(subject, logits, target)
    same(value / 2, want, 'mean of the ranks')
    same(grad / 2, want_grad[rank:rank + 1], 'gradient')  # DDP averages over the ranks


def _single(subject: Subject, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return value_and_grad(subject.build(sync_avg=False), logits, target)
