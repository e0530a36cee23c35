"""Data-loading workers that outlive the signals which a scheduler sends to all processes of a job."""
from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from .signals import SIGNALS


def steady_workers(runner: Any) -> None:
    """Have the runner's workers ignore the signals of ``PreemptionHook``: without data there are no more iterations.

    They end with the process that they work for, as before. A loader with a ``worker_init_fn`` of its own is left alone.
    """
    for name in ('_train_dataloader', '_val_dataloader'):
        loader = getattr(runner, name, None)
        if isinstance(loader, Mapping) and loader.get('num_workers') and 'worker_init_fn' not in loader:
            loader['worker_init_fn'] = {  # type: ignore[index]
                'type': init_worker, 'num_workers': loader['num_workers'], 'rank': runner.rank, 'seed': runner.seed,
                'disable_subprocess_warning': loader.pop('disable_subprocess_warning', False)}  # type: ignore[attr-defined]


def init_worker(worker_id: int, **settings: Any) -> None:
    """Seed a worker as mmengine does, and ignore the signals; runs in the worker."""
    from mmengine.dataset import worker_init_fn
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    worker_init_fn(worker_id, **settings)
