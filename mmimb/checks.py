"""Checks of the numbers and names that users write into configs."""
from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any


def number(name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf,
           below: float = math.inf) -> float:
    """Return ``value`` as a float if it is a finite number in range; otherwise raise a ``ValueError`` that says the rule."""
    good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if good and least <= value <= most and above < value < below:
        return float(value)
    rules = [f'at least {least:g}' if least > -math.inf else '', f'above {above:g}' if above > -math.inf else '',
             f'at most {most:g}' if most < math.inf else '', f'below {below:g}' if below < math.inf else '']
    rule = ' and '.join(r for r in rules if r)
    raise ValueError(f'`{name}` must be a finite number{" " + rule if rule else ""}, got {value!r}')


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """Return ``value`` as an int if it is an integer of at least ``least``; otherwise raise an error that says the rule."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'`{name}` must be an integer, got {value!r}')
    if least is not None and int(value) < least:
        raise ValueError(f'`{name}` must be at least {least}, got {value!r}')
    return int(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of the known names that ``name`` is likely meant to be, None if it is like none of them."""
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower, 1)
    return by_lower[found[0]] if found else None
