"""The text of a child config that changes some settings of its base."""
from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 110
STEP = 4
Keys = tuple[str | int, ...]


class Variable(str):
    """A name that the text defines elsewhere, written as it is."""


def override(base: Any, changes: Mapping[Keys, Any]) -> Any:
    """Return what a child config must hold so that mmengine merges ``changes`` into ``base``.

    A dict holds only what changes; a new dict in the place of another one deletes that. A list cannot be merged: it is
    restated in full.

    Args:
        base: Nested settings.
        changes: New values by the way to them.
    """
    if () in changes:
        new = changes[()]
        return {'_delete_': True, **new} if isinstance(new, Mapping) and base is not None else new
    if isinstance(base, (list, tuple)):
        return _restated(base, changes)
    inner = {key: {keys[1:]: value for keys, value in changes.items() if keys[0] == key} for key, *_ in changes}
    return {key: override((base or {}).get(key), below) for key, below in inner.items()}


def text_of(value: Any, indent: int = 0) -> str:
    """Return a value as config text, in one line where it fits, its first line without indentation."""
    flat = _flat(value)
    if indent + len(flat) <= WIDTH:
        return flat
    pad = ' ' * (indent + STEP)
    if isinstance(value, Mapping) and value:
        named = all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value)
        items = [f'{key}={text_of(item, indent + STEP)}' if named else f'{key!r}: {text_of(item, indent + STEP)}'
                 for key, item in value.items()]
        begin, end = ('dict(', ')') if named else ('{', '}')
        return f'{begin}\n{pad}' + f',\n{pad}'.join(items) + end
    if isinstance(value, (list, tuple)) and value:
        lines = _filled([text_of(item, indent + STEP) for item in value], indent + STEP)
        begin, end = '[]' if isinstance(value, list) else ('(', ',)')
        return f'{begin}\n{pad}' + f',\n{pad}'.join(lines) + end
    return flat


def _restated(base: Any, changes: Mapping[Keys, Any]) -> Any:
    """Return a copy of nested settings with the changes in it."""
    if () in changes:
        return changes[()]
    below = {key: {keys[1:]: value for keys, value in changes.items() if keys[0] == key} for key, *_ in changes}
    if isinstance(base, Mapping):
        whole = {key: _restated(value, below.get(key, {})) for key, value in base.items()}
        return {**whole, **{key: _restated(None, part) for key, part in below.items() if key not in base}}
    if isinstance(base, (list, tuple)):
        values = [_restated(value, below.get(index, {})) for index, value in enumerate(base)]
        return values if isinstance(base, list) else tuple(values)
    return base


def _flat(value: Any) -> str:
    if isinstance(value, Variable):
        return str(value)
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value):
            return f'dict({", ".join(f"{key}={_flat(item)}" for key, item in value.items())})'
        return f'{{{", ".join(f"{key!r}: {_flat(item)}" for key, item in value.items())}}}'
    if isinstance(value, (list, tuple)):
        inner = ', '.join(map(_flat, value))
        return f'[{inner}]' if isinstance(value, list) else f'({inner}{"," * (len(value) == 1)})'
    if isinstance(value, type):
        return repr(f'{value.__module__}.{value.__qualname__}')
    if isinstance(value, float) and (value != value or value in (float('inf'), -float('inf'))):
        return f"float('{value}')"
    return repr(value)


def _filled(items: Sequence[str], indent: int) -> list[str]:
    """Return short items joined to lines; one that has lines of its own stands alone."""
    lines: list[str] = []
    for item in items:
        joined = f'{lines[-1]}, {item}' if lines else item
        if lines and '\n' not in joined and indent + len(joined) <= WIDTH:
            lines[-1] = joined
        else:
            lines.append(item)
    return lines
