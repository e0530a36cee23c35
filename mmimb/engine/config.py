"""Reading a config with the overrides of the command line."""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..stack import MMDET_HINT, OF_MMDET, name_installed_packages, require_stack
from .config_types import check_types
from .errors import EXPECTED
from .launch import has_accelerator
from .shipped import config_path, find_shipped_bases

TRAIN_KEYS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
TEST_KEYS = ('model', 'test_dataloader', 'test_cfg', 'test_evaluator')
LIST_HINT = ('; a list of heads or of losses cannot be merged: restate it in full, as the config that `mmimb scan` '
             'suggests does')
OWN_HOOKS = ('mmimb.PlainCheckpointHook', 'mmimb.PreemptionHook', 'mmimb.ClassWeightHook')


def read_config(path: str, *, overrides: Sequence[str] | None = None, required: Sequence[str] = ()) -> Any:
    """Return the config at ``path`` with ``key=value`` overrides merged in and ``default_scope`` set.

    Its ``custom_imports`` are found in the current folder and beside it, bases like ``'mmseg::…'`` on both stacks, and those
    that come with mmimb as ``'mmimb::…'``, which ``path`` may be, too.

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: It cannot be read, an override does not fit, or one of the keys ``required`` is missing.
    """
    from mmengine.config import Config, DictAction
    path = config_path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'`config` must be an existing config file, got {path!r}')
    name_installed_packages()
    find_shipped_bases()
    _make_importable(path)
    try:
        cfg = Config.fromfile(path)
        vars(cfg)['_format_python_code'] = False  # fromfile() has an argument for it, which most configs do not get
    except Exception as error:  # a config is a program and may raise anything
        kind = '' if isinstance(error, EXPECTED) else f'{type(error).__name__}: '
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        if isinstance(error, ImportError):
            kind, text = 'import: ', _first_error(error)  # mmengine tells the whole path instead
        if 'mmdet' in str(text) and isinstance(error, ImportError):
            text = f'{text}; {" and ".join(OF_MMDET)} need it: {MMDET_HINT}, or take IterativeDecodeHead'
        advice = LIST_HINT if isinstance(error, TypeError) and '_delete_' in str(error) and 'list' in str(error) else ''
        raise ValueError(f'`config` must be a readable config, got {path!r} ({kind}{text}){advice}') from error
    if overrides:
        for item in overrides:
            if '=' not in item:
                raise ValueError(f'`--cfg-options` must be key=value, got {item!r}')
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        values = parser.parse_args(['--cfg-options', *overrides]).cfg_options
        try:
            cfg.merge_from_dict(values)
        except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            raise ValueError(f'`--cfg-options` must fit the config, got {values!r} ({text})') from error
    missing = [key for key in required if cfg.get(key) is None]
    if missing:
        raise ValueError(f'`config` must define {", ".join(missing)}, got none in {path!r}')
    check_types(cfg)
    cfg.setdefault('default_scope', 'mmseg')
    return cfg


def _make_importable(path: str) -> None:
    """Have modules of the current folder and of the config's found, after Python's own and before installed packages.

    The stack is imported before, so that a clone of mmseg in the current folder does not take the place of the installed one.
    """
    require_stack()
    packages = (i for i, entry in enumerate(sys.path) if os.path.basename(entry) in ('site-packages', 'dist-packages'))
    at = next(packages, len(sys.path))
    for folder in (os.path.dirname(os.path.abspath(path)), os.getcwd()):
        if folder not in sys.path:
            sys.path.insert(at, folder)


def _first_error(error: BaseException) -> BaseException:
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def set_work_dir(cfg: Any, path: str, work_dir: str | None, *, below: str = '') -> None:
    """Set ``cfg.work_dir``: the given one, else the config's, else ``./work_dirs/<name of the config>``.

    Args:
        cfg: The config, changed in place.
        path: Of the config file.
        work_dir: What the command line says.
        below: A folder added unless the command line says where to write.
    """
    if work_dir is None:
        stem = os.path.splitext(os.path.basename(path))[0]
        work_dir = os.path.join(cfg.get('work_dir') or os.path.join('work_dirs', stem), below).rstrip(os.sep)
    if os.path.exists(work_dir) and not os.path.isdir(work_dir):
        raise NotADirectoryError(f'`work_dir` must be a folder, got the file {work_dir!r}')
    cfg.work_dir = work_dir


def use_amp(cfg: Any) -> None:
    """Switch automatic mixed precision on.

    Raises:
        ValueError: There is no GPU, or the config's optimizer wrapper is of its own kind.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f"`--amp` must meet optim_wrapper.type 'OptimWrapper' or 'AmpOptimWrapper', got {kind!r}")
    if not has_accelerator():
        raise ValueError('`--amp` must run on a GPU (mmengine has no mixed precision on the CPU), got none')
    if kind == 'OptimWrapper':
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def add_own_hooks(cfg: Any) -> None:
    """Append the hooks of :data:`OWN_HOOKS` that ``custom_hooks`` does not hold already."""
    hooks = list(cfg.get('custom_hooks') or [])
    names = {kind if isinstance(kind, str) else getattr(kind, '__name__', '')
             for kind in (hook.get('type') if isinstance(hook, dict) else type(hook) for hook in hooks)}
    for kind in OWN_HOOKS:
        if kind not in names and kind.split('.')[1] not in names:
            hooks.append({'type': kind})
    cfg.custom_hooks = hooks


def check_datasets(cfg: Any, *splits: str) -> None:
    """Check that the datasets of these splits are where the config says.

    Raises:
        FileNotFoundError: Something is missing; ``detail`` shows the tree that is expected.
    """
    from ..datasets.layout import check_layout
    for split in splits:
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        if isinstance(dataset, dict):
            check_layout(dataset, f'{split}_dataloader.dataset')
