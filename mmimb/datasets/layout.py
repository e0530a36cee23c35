"""Is the dataset where the config says, in the layout that its class reads? Asked before anything is built."""
from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARGUMENTS = {'data_root': None, 'ann_file': '', 'data_prefix': None, 'img_suffix': '.jpg', 'seg_map_suffix': '.png',
             'backend_args': None}
FOLDERS = {'img_path': 'img_suffix', 'seg_map_path': 'seg_map_suffix'}


class LayoutError(FileNotFoundError):
    """A dataset is not where its config says; ``detail`` is the expected tree with what is missing marked."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True)
class _Entry:
    path: str  # as the dataset opens it
    shown: str  # below the data root
    argument: str
    state: str

    @property
    def found(self) -> bool:
        return self.state == 'found'


def check_layout(dataset_cfg: Mapping[str, Any], where: str = 'train_dataloader.dataset') -> None:
    """Check folders, lists and file names of an mmseg dataset config, or of all inside wrappers, before it is built.

    Checked are ``data_root``, ``ann_file``, the folders of ``data_prefix``, and that the images of the list have files under
    the suffixes of the dataset's class; not each file, which is the scanner's work. Datasets that list their files in
    their own way and remote ones (``backend_args``) are passed over.

    Raises:
        LayoutError: Something is missing; a ``FileNotFoundError`` whose ``detail`` shows the expected tree.
        ValueError: The dataset has no label folder at all, or its list is empty.
    """
    for cfg in _leaf_cfgs(dataset_cfg):
        arguments = _arguments(cfg)
        if arguments is None or arguments['backend_args']:
            continue
        root = str(arguments['data_root'] or '')
        entries = _entries(arguments, root, where)
        missing = [entry for entry in entries if not entry.found]
        if missing:
            name = getattr(cfg['type'], '__name__', cfg['type'])
            raise LayoutError(f'`{where}` must find the files of {name} at its `data_root`, '
                              f'got {", ".join(f"{e.state}: {e.path}" for e in missing)}', _tree(root, entries))


def _leaf_cfgs(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = cfg.get('datasets', [cfg['dataset']] if 'dataset' in cfg else None)
    if parts is None:
        yield cfg
    else:
        for part in parts if isinstance(parts, Sequence) else [parts]:
            if isinstance(part, Mapping):
                yield from _leaf_cfgs(part)


def _arguments(cfg: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the dataset will use, with the defaults of its class; None for one that lists its files itself."""
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    from .. import registry  # noqa: F401  (registers the scope)

    kind = cfg.get('type')
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, BaseSegDataset)):
        return None
    if getattr(cls, 'load_data_list', None) is not BaseSegDataset.load_data_list:
        return None
    values = dict(ARGUMENTS)
    for base in reversed(cls.__mro__):
        if '__init__' in vars(base):
            for parameter in inspect.signature(base.__init__).parameters.values():  # type: ignore[misc]
                if parameter.name in values and parameter.default is not parameter.empty:
                    values[parameter.name] = parameter.default
    return {**values, **{key: cfg[key] for key in ARGUMENTS if key in cfg}}


def _entries(arguments: Mapping[str, Any], root: str, where: str) -> list[_Entry]:
    prefix = dict(arguments['data_prefix'] or {})
    if not isinstance(prefix.get('seg_map_path'), str):
        raise ValueError(f'`{where}.data_prefix` must have `seg_map_path`, got {prefix!r}')
    entries: list[_Entry] = []
    stems: list[str] | _Walk | None = None
    listed = str(arguments['ann_file'] or '')
    if listed and not os.path.isdir(_join(root, listed)):
        path = _join(root, listed)
        entries.append(_Entry(path, listed, 'ann_file', 'found' if os.path.isfile(path) else 'missing'))
        if entries[0].found:
            stems = [line.strip() for line in Path(path).read_text(encoding='utf-8').splitlines() if line.strip()]
            if not stems:
                raise ValueError(f'`{where}.ann_file` must list at least one image, got the empty file {path!r}')
    folders = {key: _join(root, str(prefix.get(key) or '')) for key in FOLDERS}
    image_suffix = str(arguments['img_suffix'])
    if stems is None:
        stems = _Walk(folders['img_path'], image_suffix)
    for key, suffix_key in FOLDERS.items():
        suffix = str(arguments[suffix_key])
        shown = f'{str(prefix.get(key) or ".").rstrip("/")}/*{suffix}'
        state = _state(folders[key], suffix, stems, listing=key == 'img_path' and isinstance(stems, _Walk))
        entries.append(_Entry(f'{folders[key]}/*{suffix}' if 'folder' not in state else folders[key], shown,
                              f'data_prefix.{key}', state))
    return entries


class _Walk:
    """The stems of the files with a suffix below a folder, found as they are asked for."""

    def __init__(self, folder: str, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix

    def __iter__(self) -> Iterator[str]:
        for here, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith(self.suffix) and not name.startswith('.'):
                    yield os.path.relpath(os.path.join(here, name), self.folder)[:-len(self.suffix)]


def _state(folder: str, suffix: str, stems: Iterable[str], *, listing: bool) -> str:
    if not os.path.isdir(folder):
        return 'missing folder'
    if listing:
        return 'found' if next(iter(stems), None) is not None else 'no such file'
    rest = iter(stems)
    first = next(rest, None)
    if first is None or os.path.isfile(os.path.join(folder, first + suffix)):
        return 'found'  # without images there is nothing to find
    if any(os.path.isfile(os.path.join(folder, stem + suffix)) for stem in rest):
        return 'found'
    return f'no file of any image (such as {first}{suffix})'


def _tree(root: str, entries: Sequence[_Entry]) -> str:
    state = 'found' if os.path.isdir(root or '.') else 'MISSING'
    width = max(len(entry.shown) for entry in entries) + 4
    lines = [f'expected tree (from {os.getcwd()}):', f'{(root or ".").rstrip("/") + "/":<{width}}  {state}  (data_root)']
    for entry in entries:
        branch = '└──' if entry is entries[-1] else '├──'
        mark = 'found' if entry.found else 'MISSING' if entry.state.startswith('missing') else f'MISSING: {entry.state}'
        lines.append(f'{branch} {entry.shown:<{width - 4}}  {mark}  ({entry.argument})')
    return '\n'.join(lines)


def _join(root: str, path: str) -> str:
    return path if os.path.isabs(path) or not root else os.path.join(root, path).rstrip('/')
