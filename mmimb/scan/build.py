"""Building the dataset of a config, for training, validation or testing."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..loss_places import heads

SPLITS = ('train', 'val', 'test')


def split_dataset_cfg(cfg: Mapping[str, Any], split: str = 'train') -> Mapping[str, Any]:
    """Return ``<split>_dataloader.dataset`` of a config.

    Raises:
        ValueError: ``split`` is unknown, or the config has no such dataset.
    """
    if split not in SPLITS:
        raise ValueError(f'`split` must be one of {SPLITS}, got {split!r}')
    loader = cfg.get(f'{split}_dataloader')
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None
    if not isinstance(dataset, Mapping):
        raise ValueError(f'`{split}_dataloader.dataset` must be a dataset config, got {dataset!r}')
    return dataset


def build_split(cfg: Mapping[str, Any], split: str = 'train') -> Any:
    """Build the dataset of ``split``, with the config's ``default_scope`` and all modules of mmseg and mmimb registered.

    Raises:
        ValueError: The config has no such dataset, or the dataset refuses its arguments.
    """
    dataset = split_dataset_cfg(cfg, split)
    from mmengine.registry import DATASETS, init_default_scope
    from mmseg.utils import register_all_modules

    from .. import registry  # noqa: F401  (registers the scope)

    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    try:
        return DATASETS.build(dataset)
    except AssertionError as error:  # how mmseg's datasets refuse a path
        raise ValueError(f'`{split}_dataloader.dataset` must be buildable, got an assertion of {dataset.get("type")}: '
                         f'{error or "no message"}') from error


def heads_ignore_index(cfg: Mapping[str, Any]) -> int | None:
    """Return the ``ignore_index`` of the config's decode head, which training uses, whatever the dataset says.

    ``None`` without a model. Of several heads the last counts: its prediction is that of the model.
    """
    last = None
    for at in heads(cfg.get('model')):
        last = at if at.keys[0] == 'decode_head' else last
    return None if last is None else int(last.head.get('ignore_index', 255))
