"""Whether the settings that every run reads are of the types that mmengine takes them for."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..checks import whole_number

SPLITS = ('train', 'val', 'test')
SETTINGS = ('model', *(f'{split}_{part}' for split in SPLITS for part in ('dataloader', 'cfg')), 'optim_wrapper',
            'default_hooks', 'env_cfg', 'randomness', 'visualizer')
LISTS = ('custom_hooks', 'vis_backends', 'param_scheduler', 'val_evaluator', 'test_evaluator')
MOST_CLASSES = 1 << 16


def check_types(cfg: Mapping[str, Any]) -> None:
    """Check the top-level settings of a config, and every ``num_classes`` of its heads.

    Raises:
        TypeError, ValueError: One is of another type or out of range; the message names it.
    """
    for key in SETTINGS:
        if cfg.get(key) is not None and not isinstance(cfg[key], Mapping):
            raise TypeError(f'`{key}` must be a dict, got {cfg[key]!r}')
    for key in LISTS:
        value = cfg.get(key)
        entries = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
        wrong = [entry for entry in entries if isinstance(entry, (str, int, float))]
        if wrong:
            raise TypeError(f'`{key}` must be a dict or a list of dicts, got {value!r}')
    heads = {key: head for key, head in (cfg.get('model') or {}).items() if key.endswith('_head')}
    for path, value in _numbers_of_classes(heads, 'model'):
        if whole_number(path, value, least=1) > MOST_CLASSES:
            raise ValueError(f'`{path}` must be at most {MOST_CLASSES}, got {value!r}')


def _numbers_of_classes(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == 'num_classes' and value is not None:
                yield f'{path}.{key}', value
            else:
                yield from _numbers_of_classes(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _numbers_of_classes(value, f'{path}[{index}]')
