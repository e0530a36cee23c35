"""torchrun for jobs that can be preempted: ``python -m mmimb.engine.torchrun`` takes torchrun's own arguments.

torchrun itself kills its workers 30 seconds after SIGTERM, and its exit status says only that a worker failed. This program
passes SIGTERM, SIGUSR1 and SIGINT on to the workers, waits for them, and exits with their status. Without ``--master_port`` it
takes a port of its own.
"""
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..signals import EX_INTERRUPTED, EX_TEMPFAIL, SIGNALS
from .errors import EXIT_STATUS
from .port import torchrun_port


def main(arguments: Sequence[str] | None = None) -> int:
    """Run torchrun and return its workers' exit status: 2 (wrong input), 75, 130 (stopped), else that of the first to fail."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException, api
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    stop = api._terminate_process_handler

    def handle(number: int, frame: Any) -> None:
        if number in SIGNALS:
            pass_on(number)
        else:
            stop(signal.Signals(number), frame)

    # what torchrun installs for the signals that it handles
    api._terminate_process_handler = handle  # type: ignore[assignment]
    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        run.main([*torchrun_port(arguments), *arguments])
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        first = error.get_first_failure()[1].exitcode
        code = next((c for c in (EXIT_STATUS, EX_TEMPFAIL, EX_INTERRUPTED) if c in codes), first)
        return int(code if code >= 0 else 128 - code)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def pass_on(number: int) -> None:
    """Send a signal to the child processes of this one."""
    for pid in children():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def children() -> list[int]:
    """Return the process ids of the children of this process (Linux)."""
    return [int(pid) for file in Path('/proc/self/task').glob('*/children') for pid in file.read_text().split()]


if __name__ == '__main__':
    sys.exit(main())
