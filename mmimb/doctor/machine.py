"""Checks of the machine: only the standard library."""
from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from .. import __version__
from .check import FAILURE, OK, WARNING, Answer, check

LEAST_PYTHON = (3, 10)
GIB = 2**30
LEAST_SHARED, LEAST_DISK = 1 * GIB, 5 * GIB
SHARED_TEST = 64 * 2**20


@check('python', 'use Python 3.10 or newer in a virtual environment: python3 -m venv .venv')
def python() -> Answer:
    kind = 'a virtual environment' if sys.prefix != sys.base_prefix or os.environ.get('CONDA_PREFIX') else 'no environment'
    text = f'{platform.python_version()} ({platform.python_implementation()}), {kind}, {sys.executable}'
    if sys.version_info < LEAST_PYTHON:
        return Answer(FAILURE, text, 'use Python 3.10 or newer')
    return Answer(OK, text)


@check('mmimb', 'run from a complete checkout, or install again: pip install -e .')
def mmimb() -> Answer:
    root = Path(__file__).resolve().parents[2]
    commit = ''
    if (root / '.git').exists():
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(['git', '-C', str(root), 'describe', '--always', '--dirty'], capture_output=True, text=True,
                                  timeout=10, check=True)
            commit = f', commit {said.stdout.strip()}'
    return Answer(OK, f'{__version__}{commit}, {root}')


@check('system', 'nothing can be told about the machine')
def system() -> Answer:
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') if hasattr(os, 'sysconf') else 0
    cores = f'{usable_cores():g} of {os.cpu_count()} cores usable'
    return Answer(OK, f'{platform.platform()}, {cores}, {memory / GIB:.0f} GiB memory')


@check('threads', 'export OMP_NUM_THREADS=1')
def threads() -> Answer:
    cores = usable_cores()
    wanted, most = os.environ.get('OMP_NUM_THREADS'), max(1, math.floor(cores))
    if wanted is None:
        seen = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
        if cores < seen:
            return Answer(WARNING, f'OMP_NUM_THREADS is not set: torch starts {seen} threads where {cores:g} cores are granted',
                          f'export OMP_NUM_THREADS={most}')
        return Answer(OK, f'OMP_NUM_THREADS is not set, {cores:g} cores')
    if not wanted.isdigit() or int(wanted) < 1:
        return Answer(WARNING, f'OMP_NUM_THREADS is {wanted!r}, not a number of threads', f'export OMP_NUM_THREADS={most}')
    if int(wanted) > cores:
        return Answer(WARNING, f'OMP_NUM_THREADS is {wanted} on {cores:g} cores: threads wait for each other',
                      f'export OMP_NUM_THREADS={most}')
    return Answer(OK, f'OMP_NUM_THREADS is {wanted}, {cores:g} cores')


@check('shared memory', 'workers of data loaders need /dev/shm: docker run --shm-size=8g, or --ipc=host')
def shared_memory() -> Answer:
    if not os.path.isdir('/dev/shm'):
        return Answer(OK, 'no /dev/shm: this system shares memory in another way')
    usage = shutil.disk_usage('/dev/shm')
    text = f'/dev/shm has {usage.total / GIB:.2g} GiB, {usage.free / GIB:.2g} GiB free'
    fix = 'docker run --shm-size=8g (or --ipc=host), or fewer num_workers'
    with tempfile.TemporaryFile(dir='/dev/shm') as file:
        try:
            file.write(bytes(min(SHARED_TEST, usage.free)))
            file.flush()
        except OSError as error:
            return Answer(FAILURE, f'{text}, and writing there fails: {error}', fix)
    if usage.free < LEAST_SHARED:
        return Answer(WARNING, f'{text}: workers of data loaders may die of a bus error', fix)
    return Answer(OK, text)


@check('work_dirs', 'run in a folder that you can write to, or pass --work-dir')
def work_dirs() -> Answer:
    folder = 'work_dirs' if os.path.isdir('work_dirs') else '.'
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b'x')
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Answer(FAILURE, f'{os.path.abspath(folder)} cannot be written to: {error.strerror or error}',
                      'run in a folder that you can write to, or pass --work-dir')
    free = shutil.disk_usage(folder).free
    text = f'{os.path.abspath(folder)} can be written to, {free / GIB:.0f} GiB free'
    if free < LEAST_DISK:
        return Answer(WARNING, text, 'make room: checkpoints need some GiB')
    return Answer(OK, text)


def usable_cores() -> float:
    """Return the cores that this process may use: its affinity, and the quota of its container where there is one."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1)
    with suppress(OSError, ValueError):
        quota, period = Path('/sys/fs/cgroup/cpu.max').read_text().split()
        if quota != 'max':
            cores = min(cores, int(quota) / int(period))
    return cores
