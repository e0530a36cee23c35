"""Dividing a scan among machines: by ``--shard i/n``, or by the launcher that started the processes."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .manifest import Manifest

LAUNCHERS = {'pytorch': ('RANK', 'WORLD_SIZE', 'torchrun'), 'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'srun')}


def read_shard(text: str) -> tuple[int, int]:
    """Return ``(i, n)`` of ``'i/n'`` with ``0 <= i < n``."""
    first, slash, second = text.partition('/')
    if not (slash and first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise ValueError(f'`shard` must be i/n with 0 <= i < n, got {text!r}')
    return int(first), int(second)


def launched_shard(launcher: str, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return ``(i, n)`` of this process, from the environment variables of its launcher.

    Raises:
        ValueError: The launcher is unknown or did not start this process.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f'`launcher` must be one of {tuple(LAUNCHERS)}, got {launcher!r}')
    rank, world, program = LAUNCHERS[launcher]
    for name in (rank, world):
        if not environment.get(name, '').isdecimal():
            raise ValueError(f'`launcher` {launcher} must be used in processes that {program} starts, '
                             f'got {name}={environment.get(name)!r} in the environment')
    return read_shard(f'{environment[rank]}/{environment[world]}')


def shard_path(out: Path, shard: tuple[int, int]) -> Path:
    """Return where process i of n writes when all are given the same ``out``: ``stats.json`` becomes ``stats.0of2.json``."""
    return out if shard[1] == 1 else out.with_name(f'{out.stem}.{shard[0]}of{shard[1]}{out.suffix}')


def shard_ranges(manifest: Manifest, shard: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the positions of a shard: its share of the images, and of the other split's."""
    i, n = shard
    bounds = []
    for start, count in ((0, manifest.listed), (manifest.listed, manifest.total - manifest.listed)):
        bounds.append((start + count * i // n, start + count * (i + 1) // n))
    return [(start, stop) for start, stop in bounds if start < stop]
