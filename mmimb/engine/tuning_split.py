"""The split that is tuned on or explained, and whether its images are those of another one."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..scan import build_split
from ..scan.sources import dataset_classes, leaves
from .config import check_datasets, read_config, set_work_dir

SPLITS = ('val', 'test')
OTHERS = {'test': 'reported_dataloader', 'train': 'train_dataloader'}
HARM = {'test': 'its scores will be too good afterwards; tune on images that you do not report',
        'train': 'a model is surer of them than of new ones'}


def tuning_config(path: str, split: str, work_dir: str | None = None, overrides: Sequence[str] | None = None, *,
                  below: str = 'tune') -> Any:
    """Return the config with the split to tune on as its test split, and no hook that exchanges weights.

    Args:
        path: Of the config.
        split: ``'val'``, ``'test'``, or a config whose ``test_dataloader`` it is.
        work_dir: Where logs go.
        overrides: ``key=value``.
        below: Folder for logs in that of the run.

    Returns:
        The config; its own ``test_dataloader`` is kept as ``reported_dataloader``.

    Raises:
        ValueError, OSError: ``split`` is neither, a config cannot be read or lacks a key, or data is missing.
    """
    named = split in SPLITS
    if not named and not split.endswith('.py'):
        raise ValueError(f'`--split` must be one of {SPLITS} or a config, got {split!r}')
    required = ('model', f'{split}_dataloader') if named else ('model', )
    cfg = read_config(path, overrides=overrides, required=required)
    set_work_dir(cfg, path, work_dir, below=below)
    source = cfg if named else read_config(split, required=('test_dataloader', ))
    name = split if named else 'test'
    check_datasets(source, name)
    cfg.reported_dataloader = cfg.get('test_dataloader')
    cfg.test_dataloader = source[f'{name}_dataloader']
    cfg.test_evaluator = source.get(f'{name}_evaluator') or cfg.get('test_evaluator') or {'type': 'mmimb.LongTailIoUMetric'}
    cfg.test_cfg = cfg.get('test_cfg') or {'type': 'TestLoop'}
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if _kind(hook) != 'EMAHook']  # the file has averages
    return cfg


def _kind(hook: Any) -> str:
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    return kind.split('.')[-1] if isinstance(kind, str) else getattr(kind, '__name__', '')


def overlaps(cfg: Any, split: str, others: Iterable[str] = tuple(OTHERS)) -> list[str]:
    """Return warnings about images of the split that are also in others: trained on, or reported.

    Args:
        cfg: Of :func:`tuning_config`.
        split: As it is called on the command line.
        others: ``'test'`` and ``'train'``, or one of them.
    """
    images = _images(build_split(cfg, 'test'))
    notices = []
    for name in others:
        dataloader = cfg.get(OTHERS[name])
        try:
            other = _images(build_split({**cfg, 'train_dataloader': dataloader}, 'train')) if dataloader else set()
        except (ValueError, TypeError, OSError, KeyError):
            notices.append(f'the images of the {name} split could not be listed: make sure that none is in --split {split}')
            continue
        if common := len(images & other):
            notices.append(f'{common} of {len(images)} images of --split {split} are those of the {name} split: {HARM[name]}')
    return notices


def fitting_classes(dataset: Any, number: int) -> tuple[str, ...]:
    """Return the class names of the split, or numbers where it has no names.

    Raises:
        ValueError: Their number is not that of the model.
    """
    classes = dataset_classes(dataset) or tuple(map(str, range(number)))
    if len(classes) != number:
        raise ValueError(f'`--split` must have the {number} classes of the model, got {len(classes)}')
    return classes


def _images(dataset: Any) -> set[str]:
    paths = set()
    for leaf in leaves(dataset):
        leaf.full_init()
        paths |= {os.path.realpath(leaf.get_data_info(i)['img_path']) for i in range(len(leaf))}
    return paths
