"""Checkpoints of plain data, which load under ``torch.load(weights_only=True)`` without an allowlist."""
from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer, print_log

from ..registry import HOOKS
from .whole_files import remove_halves, save_whole

TAG = '__plain__'
_KEPT = (torch.Tensor, torch.Size, torch.dtype, torch.device)
_SCALARS = (bool, int, float, complex, str, bytes)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Turns what mmengine saves besides tensors (log histories, numpy values) into plain data, and back when it is loaded.

    Stock checkpoints pickle objects of mmengine and numpy, which torch ≥ 2.6 refuses. Values that have no plain form are
    saved as their text, with a warning that names them. Runs last, after other hooks have put their state in. Files on local
    disks appear whole or not at all.
    """

    priority = 'LOWEST'

    def before_train(self, runner: Any) -> None:
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                save_whole(hook)
                if runner.rank == 0 and os.path.isdir(hook.out_dir):
                    remove_halves(Path(hook.out_dir))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        for key, value in checkpoint.items():
            checkpoint[key] = to_plain(value, key)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        for key, value in checkpoint.items():
            checkpoint[key] = from_plain(value)


def to_plain(value: Any, where: str = 'checkpoint') -> Any:
    """Return ``value`` as tensors, numbers, strings and containers of them; :func:`from_plain` is the inverse.

    Numpy scalars become Python's, paths strings, deques lists and enumerations their values, for good; log histories and
    numpy arrays come back as they were.
    """
    if value is None or type(value) in _SCALARS or isinstance(value, _KEPT):
        return value
    if isinstance(value, HistoryBuffer):
        log, count = (torch.from_numpy(np.array(part, dtype=np.float64)) for part in value.data)
        return {TAG: 'history', 'log': log, 'count': count, 'max_length': int(value.max_length)}
    if isinstance(value, np.ndarray):
        return _array_to_plain(value, where)
    if isinstance(value, np.generic):
        item = value.item()
        return to_plain(float(item) if isinstance(item, np.generic) else item, where)
    if isinstance(value, Mapping):
        return _mapping_to_plain(value, where)
    if isinstance(value, tuple):
        return tuple(to_plain(item, f'{where}[{i}]') for i, item in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return {to_plain(item, where) for item in value}
    if isinstance(value, Enum):
        return to_plain(value.value, where)
    for kind in _SCALARS:
        if isinstance(value, kind):  # a subclass
            return kind(value)  # type: ignore[arg-type]
    if not isinstance(value, PurePath):
        if hasattr(value, '__iter__') and hasattr(value, '__len__'):
            return [to_plain(item, f'{where}[{i}]') for i, item in enumerate(value)]
        print_log(f'{where} of the checkpoint has no plain form and is saved as text: {type(value).__name__}',
                  logger='current', level=logging.WARNING)
    return str(value)


def from_plain(value: Any) -> Any:
    """Return what :func:`to_plain` was given, for log histories and arrays; anything else as it is."""
    if isinstance(value, Mapping):
        kind = value.get(TAG)
        if kind == 'history':
            history = HistoryBuffer(max_length=value['max_length'])
            history._log_history, history._count_history = (value[key].cpu().numpy().copy() for key in ('log', 'count'))
            return history
        if kind == 'array':
            data = value['data']
            data = data.cpu().numpy() if isinstance(data, torch.Tensor) else data
            return np.array(data, dtype=value['dtype']).reshape(value['shape'])
        for key, item in value.items():
            value[key] = from_plain(item)  # type: ignore[index]
        return value
    if type(value) in (list, tuple):
        return type(value)(from_plain(item) for item in value)
    return value


def _array_to_plain(array: np.ndarray, where: str) -> Any:
    if array.dtype.kind in 'biufc':
        try:
            data: Any = torch.from_numpy(array.astype(array.dtype.newbyteorder('='), order='C').copy())
        except TypeError:  # no such dtype in torch
            data = array.ravel().tolist()
    elif array.dtype.kind in 'US':
        data = array.ravel().tolist()
    else:
        return to_plain(array.tolist(), where)
    return {TAG: 'array', 'data': data, 'dtype': array.dtype.str, 'shape': tuple(array.shape)}


def _mapping_to_plain(mapping: Mapping, where: str) -> Any:
    items = [(to_plain(key, where), to_plain(value, f'{where}.{key}')) for key, value in mapping.items()]
    if not isinstance(mapping, OrderedDict):
        return dict(items)
    plain = OrderedDict(items)
    if isinstance(metadata := getattr(mapping, '_metadata', None), Mapping):  # versions of the modules in a state dict
        plain._metadata = to_plain(metadata, where)  # type: ignore[attr-defined]
    return plain
