"""Data-loading workers that ignore the signals which a scheduler sends to all processes of a job."""
from __future__ import annotations

import os
import signal
import threading
from collections.abc import MutableMapping
from typing import Any

from .signals import SIGNALS


def steady_workers(runner: Any) -> None:
    """Have the runner's workers outlive the signals of ``PreemptionHook``: without data there are no more iterations.

    A loader with a ``worker_init_fn`` of its own is left alone.
    """
    for name in ('_train_dataloader', '_val_dataloader', '_test_dataloader'):
        loader = getattr(runner, name, None)
        if isinstance(loader, MutableMapping):
            steady(loader, runner)


def steady(loader: MutableMapping[str, Any], runner: Any) -> MutableMapping[str, Any]:
    """Return the config of a dataloader, changed in place so that its workers are steady; see :func:`steady_workers`."""
    if loader.get('num_workers') and 'worker_init_fn' not in loader:
        loader['worker_init_fn'] = {
            'type': init_worker, 'num_workers': loader['num_workers'], 'rank': runner.rank, 'seed': runner.seed,
            'disable_subprocess_warning': loader.pop('disable_subprocess_warning', False)}
    return loader


def init_worker(worker_id: int, **settings: Any) -> None:
    """Seed a worker as mmengine does, and make it heed SIGTERM only from the process it works for; runs in the worker."""
    from mmengine.dataset import worker_init_fn
    if hasattr(signal, 'sigwaitinfo'):  # else the workers are as they were
        for number in SIGNALS:
            if number != signal.SIGTERM:
                signal.signal(number, signal.SIG_IGN)
        # a thread waits for SIGTERM, which all other threads block: only so Python learns who sent it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    worker_init_fn(worker_id, **settings)


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        continue
    os._exit(0)
