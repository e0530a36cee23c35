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


def loss_decodes(model: Any) -> Iterator[tuple[str, Mapping, Any]]:
    """Yield the place, the head and the config of every ``loss_decode`` of a model, one by one where a head has several."""
    for place, head in nodes(model, 'model'):
        losses = head.get('loss_decode')
        if losses is None or '.loss_decode' in place:
            continue
        if isinstance(losses, (list, tuple)):
            yield from ((f'{place}.loss_decode[{index}]', head, loss) for index, loss in enumerate(losses))
        else:
            yield f'{place}.loss_decode', head, losses
