"""A check and its answer."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

OK, WARNING, FAILURE = 'ok', 'warning', 'failure'
CONFIG = 'MMIMB_DOCTOR_CONFIG'  # the environment variable that names the config


class Answer(NamedTuple):
    """What a check returns: ``'ok'``, ``'warning'`` or ``'failure'``, what was seen, and a fix in one line."""

    status: str
    text: str
    fix: str = ''


@dataclass(frozen=True)
class Check:
    """A check of the environment.

    Args:
        name: As it is shown.
        ask: Executes it; an exception is a failure. Imports what it needs itself.
        fix: What to do when it crashes or raises.
    """

    name: str
    ask: Callable[[], Answer]
    fix: str


CHECKS: dict[str, Check] = {}


def check(name: str, fix: str) -> Callable[[Callable[[], Answer]], Callable[[], Answer]]:
    """Return a decorator that adds a function to :data:`CHECKS`, in the order of definition."""
    def add(ask: Callable[[], Answer]) -> Callable[[], Answer]:
        CHECKS[name] = Check(name, ask, fix)
        return ask
    return add


@dataclass(frozen=True)
class Finding:
    """The answer to one check.

    Args:
        name: Of the check.
        status: ``'ok'``, ``'warning'`` or ``'failure'``.
        text: What was seen.
        fix: What to do about it, empty if nothing.
        seconds: How long it took.
    """

    name: str
    status: str
    text: str
    fix: str = ''
    seconds: float = 0.0
