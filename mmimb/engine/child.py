"""A process that does a piece of this one's work: it gets the signals that this one gets, and ends when this one does."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..signals import Stopped, end_with_parent, give_back, is_first, listen

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = ('site-packages', 'dist-packages')
EVERY = 30.0  # seconds


def program() -> list[str]:
    """Return the words that start the program ``mmimb`` of this environment."""
    script = Path(sys.executable).with_name('mmimb')
    return [str(script)] if script.is_file() else [sys.executable, '-m', 'mmimb']


def environment() -> dict[str, str]:
    """Return the environment in which another Python finds this package, and no packages of the current folder before it."""
    root, given = PACKAGE.parent, os.environ.get('PYTHONPATH')
    paths = [*([] if root.name in INSTALLED else [str(root)]), *([given] if given else [])]
    return {**os.environ, 'PYTHONSAFEPATH': '1', **({'PYTHONPATH': os.pathsep.join(paths)} if paths else {})}


class Child:
    """A process of this one's.

    Args:
        command: Its words.
        log: The file that its output is added to.
        lock: A descriptor that it holds, too, where the kernel does not end it with this process: what is locked stays so until
            both have ended. On Linux only this process holds it; the data-loading workers of a killed training live on for
            seconds.
    """

    def __init__(self, command: Sequence[str], log: Path, lock: int) -> None:
        self.command, self.log, self.lock = command, log, lock
        self._process: subprocess.Popen | None = None
        self._received = 0

    def wait(self, tick: Callable[[], None], every: float = EVERY) -> int:
        """Start it, pass signals on to it, and return its exit status (128 + n if signal n has killed it).

        Args:
            tick: Called every so many seconds meanwhile.
            every: Seconds.

        Raises:
            Stopped: A signal came, and the process ended with status 0 nevertheless: it had just finished.
        """
        held = () if sys.platform == 'linux' else (self.lock, )
        previous = listen(self._pass_on)
        try:
            with self.log.open('ab') as log:
                self._process = subprocess.Popen(self.command, env=environment(), pass_fds=held, stdout=log,
                                                 stderr=subprocess.STDOUT, preexec_fn=end_with_parent)
            if self._received:
                self._process.send_signal(self._received)
            status = self._ended(self._process, tick, every)
        finally:
            give_back(previous)
        if self._received and status == 0:
            raise Stopped(self._received)
        return status if status >= 0 else 128 - status

    @staticmethod
    def _ended(process: subprocess.Popen, tick: Callable[[], None], every: float) -> int:
        while True:
            try:
                return process.wait(every)
            except subprocess.TimeoutExpired:
                tick()

    def _pass_on(self, number: int, frame: Any) -> None:
        if is_first(number):
            self._received = number
            if self._process is not None:
                self._process.send_signal(number)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return '\n'.join(log.read_text(encoding='utf-8', errors='replace').splitlines()[-lines:]) if log.is_file() else ''
