"""The nested settings of a config with their places, such as ``model.decode_head[0]``."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def nodes(tree: Any, place: str) -> Iterator[tuple[str, Mapping]]:
    """Yield the place and the content of every mapping inside nested mappings and lists, the outer before the inner."""
    if isinstance(tree, Mapping):
        yield place, tree
        for key, value in tree.items():
            yield from nodes(value, f'{place}.{key}')
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from nodes(value, f'{place}[{index}]')
