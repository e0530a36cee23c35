"""What a config may have meant by a type that no registry knows."""
from __future__ import annotations

import re

from ..checks import nearest

MESSAGE = re.compile(r'^(?P<name>\S+) is not in the (?:\S+::)?(?P<kind>.+?) registry\.')
PLAIN_SCOPES = ('mmengine', 'mmseg')  # their names need no scope in the config of a segmentor


def unknown_type(text: str) -> str | None:
    """Return one line for what mmengine's registries say about an unknown type, None if ``text`` is something else."""
    match = MESSAGE.match(text)
    if match is None:
        return None
    name = match['name']
    known = registered(match['kind'])
    bare = {one.rpartition('.')[2]: one for one in known}  # a forgotten or a wrong scope is no other name
    near = bare.get(nearest(name.rpartition('.')[2], bare) or '')
    return f'`type` must be a registered {match["kind"]}, got {name!r}' + (f'; did you mean {near!r}?' if near else '')


def registered(kind: str) -> list[str]:
    """Return every name that a registry ``kind`` and its children know, as a config writes it; ours come last."""
    from mmengine.registry import root

    from .. import registry  # noqa: F401  (registers the scope)
    names = []
    pending = [one for one in vars(root).values() if getattr(one, 'name', None) == kind]
    while pending:
        current = pending.pop()
        current.import_from_location()
        prefix = '' if current.scope in PLAIN_SCOPES else f'{current.scope}.'
        names += [prefix + name for name in current.module_dict]
        pending += current.children.values()
    return sorted(names, key=lambda name: name.startswith('mmimb.'))
