"""Signals: those by which a scheduler preempts a job, and the end of a parent process."""
from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EX_TEMPFAIL = 75
PR_SET_PDEATHSIG = 1
SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name))


@contextmanager
def leave_on_signal() -> Iterator[None]:
    """Exit with status 75 on a signal, while there is nothing to save yet.

    ``PreemptionHook`` takes over while training runs. Once the process is leaving, further signals are ignored, or they would
    change its status. Without effect outside the main thread.

    Raises:
        SystemExit: From wherever the signal finds the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _leave) for number in SIGNALS}
    try:
        yield
    except SystemExit:
        previous = dict.fromkeys(SIGNALS, signal.SIG_IGN)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _leave(number: int, frame: Any) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(EX_TEMPFAIL)


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone (Linux; elsewhere nothing is done)."""
    if sys.platform == 'linux':
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
