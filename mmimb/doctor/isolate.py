"""Running checks in other processes, so that one that crashes, hangs or exits does not end the others."""
from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from .check import CHECKS, CONFIG, FAILURE, Finding
from .child import load_checks

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
TICK = 1.0  # seconds after which waiting for an answer is told
CHILD = (f'import sys; sys.path[:1] = [] if {str(ROOT)!r} in sys.path else [{str(ROOT)!r}]; '
         'from mmimb.doctor.child import run_child; run_child(sys.argv[1:])')


def run_checks(config: str | None = None, only: Sequence[str] | None = None, *, seconds: float = SECONDS,
               progress: Callable[[int, int, str], None] | None = None) -> list[Finding]:
    """Run all checks in a process of their own; after a crash or a hang the rest goes on in a new one.

    Args:
        config: Path of a config to check as well.
        only: Names of the checks to run; all without.
        seconds: What one check may take.
        progress: Called after each check with the number done, the number of all and ``''``, and every second in between with
            the name of the check that is under way as the last.

    Raises:
        ValueError: There is no such check.
    """
    known = load_checks()
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise ValueError(f'`only` must be among {", ".join(known)}, got {unknown[0]!r}')
    names = [name for name in known if name in (only or known) and (name != 'config' or config is not None)]
    findings: list[Finding] = []

    def tell(name: str = '') -> None:
        if progress is not None:
            progress(len(findings), len(names), name)

    while len(findings) < len(names):
        with _Child(names[len(findings):], {**os.environ, CONFIG: config or ''}) as child:
            for finding in child.findings(seconds, tell):
                findings.append(finding)
                tell()
    return findings


class _Child:
    """A process that runs checks in order."""

    def __init__(self, names: list[str], env: Mapping[str, str]) -> None:
        self.names = names
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed as the child is left)
        self.process = subprocess.Popen([sys.executable, '-c', CHILD, *names], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True)
        self.lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(os, 'killpg'):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # with the workers of a check
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def findings(self, seconds: float, waiting: Callable[[str], None]) -> Iterator[Finding]:
        """Yield an answer for each check that was begun, and a failure for the one that ended the process."""
        begun = ''
        while True:
            try:
                line = self._line(seconds, partial(waiting, begun))
            except queue.Empty:
                yield self._failure(begun, f'does not answer within {seconds:g} s')
                return
            if line is None:
                break
            message = _message(line)
            if 'start' in message:
                begun = message['start']
            elif message:
                begun = ''
                yield Finding(**message)
        code = self.process.wait()
        if begun or code != 0:
            yield self._failure(begun, self._reason(code))

    def _line(self, seconds: float, waiting: Callable[[], None]) -> bytes | None:
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            try:
                return self.lines.get(timeout=max(0.0, min(TICK, left)))
            except queue.Empty:
                if left <= TICK:
                    raise
                waiting()

    def _failure(self, begun: str, text: str) -> Finding:
        name = begun or self.names[0]
        return Finding(name, FAILURE, text, CHECKS[name].fix)

    def _reason(self, code: int) -> str:
        self.errors.seek(0)
        said = [line for line in self.errors.read().decode(errors='replace').splitlines() if line.strip()]
        if code < 0:
            place = next((line.strip() for line in said if line.startswith('  File "')), '')
            return f'crashed with {signal.Signals(-code).name}' + (f' at {place}' if place else '')
        return f'ended with status {code}' + (f': {said[-1].strip()[:300]}' if said else '')

    def _read(self) -> None:
        stream = self.process.stdout
        if stream is not None:
            for line in stream:
                self.lines.put(line)
        self.lines.put(None)


def _message(line: bytes) -> dict[str, Any]:
    """Return what the child wrote; nothing for a line that something else has written before it began."""
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    return data if isinstance(data, dict) and ('start' in data or 'status' in data) else {}
