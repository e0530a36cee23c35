"""How the process of a tool begins and ends."""
from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from ..signals import Stopped, end_with_parent, listen


def run_tool(main: Callable[[], int]) -> NoReturn:
    """Run ``main`` and exit with the status that it returns or raises; signals are handled from now on (:mod:`mmimb.signals`).

    A process of a run on CPUs (gloo) exits without finalizing the interpreter: threads of torch may still hold Python objects
    then, and about every third process died of SIGABRT (torch 2.13) after its work was done, which lost its status.

    Raises:
        SystemExit: With the status.
    """
    listen()
    end_with_launcher()
    try:
        status = main()
    except Stopped as stopped:
        if not stopped.told:
            sys.stderr.write(f'{stopped}\n')
        status = _status(stopped.code)
    except SystemExit as exit_error:
        status = _status(exit_error.code)
    except BaseException as error:
        if not _uses_gloo():
            raise
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    if _uses_gloo():
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def end_with_launcher() -> None:
    """Have the kernel end this process when its torchrun is gone (Linux).

    Otherwise the processes of a killed run train on, and overwrite the checkpoints of the run that resumes it.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        end_with_parent()


def _uses_gloo() -> bool:
    dist = sys.modules.get('torch.distributed')
    return bool(dist is not None and dist.is_available() and dist.is_initialized() and dist.get_backend() == 'gloo')


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f'{code}\n')
    return 1
