"""The process in which checks run, so that a crash does not end the doctor."""
from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from importlib import import_module

from .check import CHECKS, FAILURE, Answer

MODULES = ('machine', 'packages', 'training', 'config')


def load_checks() -> list[str]:
    """Return the names of all checks, in order."""
    for name in MODULES:
        import_module(f'.{name}', __package__)
    return list(CHECKS)


def run_child(names: Sequence[str]) -> None:
    """Run checks and write a line of JSON before and after each to the standard output, where nothing else goes."""
    faulthandler.enable()
    warnings.simplefilter('ignore')
    with os.fdopen(os.dup(1), 'w', encoding='utf-8') as out:
        os.dup2(2, 1)  # keeps what packages print out of the answers
        load_checks()
        for name in names:
            out.write(json.dumps({'start': name}) + '\n')
            out.flush()
            begin = time.perf_counter()
            answer = _ask(name)
            out.write(json.dumps({'name': name, **answer._asdict(), 'seconds': round(time.perf_counter() - begin, 2)}) + '\n')
            out.flush()
        sys.stderr.flush()
        out.flush()
        os._exit(0)  # a broken package may hang or crash while the interpreter exits


def _ask(name: str) -> Answer:
    check = CHECKS[name]
    try:
        return Answer(*check.ask())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit from a package
        text = ' '.join(str(error).split()) or 'no message'
        return Answer(FAILURE, f'{type(error).__name__}: {text[:400]}', check.fix)
