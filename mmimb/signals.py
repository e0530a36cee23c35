"""The signals by which a scheduler takes a machine away, a user interrupts, or a parent ends its children.

All tools answer them alike. SIGTERM and SIGUSR1: what can be saved is saved, one line says so, and the exit status is 75, on
which a scheduler queues the job again. SIGINT (Ctrl-C): the same with status 130. A second signal ends the process at once,
with the status of that signal; those that come within :data:`AGAIN` seconds of the first belong to it, for schedulers and
launchers send one to a process and to its group.
"""
from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EX_TEMPFAIL, EX_INTERRUPTED = 75, 130
AGAIN = 2.0
PR_SET_PDEATHSIG = 1
SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1', 'SIGINT') if hasattr(signal, name))
_begun: list[float] = []  # when the first signal came


class Stopped(SystemExit):
    """A signal asks this process to end.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(status_of(number))
        self.number = number
        self.told = False  # whether somebody has said it to the user

    def __str__(self) -> str:
        return f'stopped by {signal.Signals(self.number).name} (exit status {self.code})'


def status_of(number: int) -> int:
    """Return the exit status after a signal."""
    return EX_INTERRUPTED if number == signal.SIGINT else EX_TEMPFAIL


def is_first(number: int) -> bool:
    """Take note of a signal, and tell whether it is the first; end the process at once if it is a second one."""
    now = time.monotonic()
    if not _begun:
        _begun.append(now)
        return True
    if now - _begun[0] >= AGAIN:
        os._exit(status_of(number))
    return False


def listen(handler: Any = None) -> dict[int, Any]:
    """Handle the signals, by default with :class:`Stopped`; return the handlers from before.

    A shell starts background processes with SIGINT ignored: that stays. Without effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    _begun.clear()
    numbers = [n for n in SIGNALS if n != signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, _stop if handler is None else handler) for number in numbers}


def give_back(previous: dict[int, Any]) -> None:
    """Undo :func:`listen`."""
    for number, handler in previous.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def leave_on_signal() -> Iterator[None]:
    """Leave with :class:`Stopped` on a signal; for the time in which there is nothing to save.

    ``PreemptionHook`` takes over while training runs. A process that is leaving goes on to handle signals, or they would change
    its status.

    Raises:
        Stopped: From wherever the signal finds the main thread.
    """
    previous = listen()
    try:
        yield
    except SystemExit:
        for number in previous:
            signal.signal(number, _stop)
        raise
    except BaseException:
        give_back(previous)
        raise
    give_back(previous)


def _stop(number: int, frame: Any) -> None:
    if is_first(number):
        raise Stopped(number)


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone (Linux; elsewhere nothing is done)."""
    if sys.platform == 'linux':
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
