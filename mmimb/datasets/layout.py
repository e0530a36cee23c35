"""Is the dataset where the config says, in the layout that its class reads? Asked before anything is built."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .image_list import read_list

LOOKED_AT = 500  # files of a folder, where those that are wanted are not there
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
    hint: str = ''

    @property
    def found(self) -> bool:
        return self.state == 'found'


def check_layout(dataset_cfg: Mapping[str, Any], where: str = 'train_dataloader.dataset') -> None:
    """Check folders, lists and file names of an mmseg dataset config, or of all inside wrappers, before its files are listed.

    Checked are ``data_root``, ``ann_file``, the folders of ``data_prefix``, and that the images of the list have files under
    the suffixes of the dataset; not each file, which is the scanner's work. What a class decides in its constructor counts:
    the dataset is built with ``lazy_init`` and asked. Labels are wanted where the pipeline loads them. Datasets that list their
    files in their own way and remote ones (``backend_args``) are passed over.

    Raises:
        LayoutError: Something is missing; a ``FileNotFoundError`` whose ``detail`` shows the expected tree.
        ValueError: The dataset has no label folder at all, or its list is empty.
    """
    for cfg in leaf_cfgs(dataset_cfg):
        dataset = unlisted_dataset(cfg)
        if dataset is None or dataset.backend_args or not lists_files_as_mmseg(type(dataset)):
            continue
        root = str(dataset.data_root or '')
        entries = _entries(dataset, root, where, with_labels=_loads_labels(cfg.get('pipeline')))
        missing = [entry for entry in entries if not entry.found]
        if missing:
            raise LayoutError(f'`{where}` must find the files of {type(dataset).__name__} at its `data_root`, '
                              f'got {", ".join(f"{e.state}: {e.path}{e.hint}" for e in missing)}', _tree(root, entries))


def unlisted_dataset(cfg: Mapping[str, Any]) -> Any:
    """Return the ``BaseSegDataset`` of a leaf config with all its settings, before it lists its files.

    None for other classes, and for one that cannot be built like that: its real building will say why.
    """
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    from .. import registry  # noqa: F401  (registers the scope)

    kind = cfg.get('type')
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, BaseSegDataset)):
        return None
    arguments = {key: value for key, value in cfg.items() if key not in ('type', '_scope_')}
    if not isinstance(arguments.get('data_prefix') or {}, Mapping):
        raise TypeError(f'`data_prefix` must be a dict, got {arguments["data_prefix"]!r}')
    dataset: Any = object.__new__(cls)
    try:
        dataset.__init__(**{**arguments, 'pipeline': [], 'lazy_init': True})
    except Exception:  # of a class that looks for its own files, too, after all is set
        return dataset if hasattr(dataset, 'pipeline') else None
    return dataset


def lists_files_as_mmseg(cls: type) -> bool:
    """Whether a dataset class lists its files by ``ann_file`` and ``data_prefix`` as ``BaseSegDataset`` does."""
    from mmseg.datasets import BaseSegDataset

    return all(getattr(cls, name, None) is getattr(BaseSegDataset, name) for name in ('load_data_list', 'full_init'))


def leaf_cfgs(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the dataset configs inside wrappers that repeat, join or mix."""
    parts = cfg.get('datasets', [cfg['dataset']] if 'dataset' in cfg else None)
    if parts is None:
        yield cfg
    else:
        for part in parts if isinstance(parts, Sequence) else [parts]:
            if isinstance(part, Mapping):
                yield from leaf_cfgs(part)


def _loads_labels(pipeline: Any) -> bool:
    """Whether a pipeline loads something else than images; a class that brings its own pipeline counts as loading labels."""
    if not isinstance(pipeline, Sequence):
        return True
    kinds = [step.get('type', '') if isinstance(step, Mapping) else type(step) for step in pipeline]
    names = [kind if isinstance(kind, str) else getattr(kind, '__name__', '') for kind in kinds]
    return not names or any('Load' in name and 'LoadImage' not in name for name in names)


def _entries(dataset: Any, root: str, where: str, *, with_labels: bool) -> list[_Entry]:
    folders = {key: dataset.data_prefix.get(key) for key in FOLDERS}
    if with_labels and not isinstance(folders['seg_map_path'], str):
        raise ValueError(f'`{where}.data_prefix` must have `seg_map_path`, got {dataset.data_prefix!r}')
    entries: list[_Entry] = []
    path = str(dataset.ann_file or '')
    stems: Iterable[str]
    if path and not os.path.isdir(path):
        entries.append(_Entry(path, _below(path, root), 'ann_file', 'found' if os.path.isfile(path) else 'missing'))
        stems = read_list(path, f'{where}.ann_file') if entries[0].found else []
    else:
        stems = _Walk(folders['img_path'] or '', dataset.img_suffix)
    for key in FOLDERS if with_labels else ('img_path', ):
        folder, suffix = (folders[key] or '').rstrip('/'), getattr(dataset, FOLDERS[key])
        state = _state(folder, suffix, stems, listing=key == 'img_path' and isinstance(stems, _Walk))
        shown, path = f'{_below(folder, root) or "."}/*{suffix}', f'{folder}/*{suffix}' if os.path.isdir(folder) else folder
        entries.append(_Entry(path, shown, f'data_prefix.{key}', state, _hint(folder, suffix, stems, state)))
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


def _hint(folder: str, suffix: str, stems: Iterable[str], state: str) -> str:
    """Return what is there in place of the files that are wanted, if anything."""
    if state == 'found' or not os.path.isdir(folder):
        return ''
    first = next(iter(stems), None)
    if first is not None and os.path.isfile(os.path.join(folder, first)):
        return f' (the list must name {first} without its extension)'
    names = islice((name for _, _, files in os.walk(folder) for name in files if not name.startswith('.')), LOOKED_AT)
    endings = Counter(os.path.splitext(name)[1] for name in names if not name.endswith(suffix))
    found = ' and '.join(f'*{ending}' for ending, _ in endings.most_common(2) if ending)
    return f' (but there are {found})' if found else ''


def _tree(root: str, entries: Sequence[_Entry]) -> str:
    state = 'found' if os.path.isdir(root or '.') else 'MISSING'
    width = max(len(entry.shown) for entry in entries) + 4
    lines = [f'expected tree (from {os.getcwd()}):', f'{(root or ".").rstrip("/") + "/":<{width}}  {state}  (data_root)']
    for entry in entries:
        branch = '└──' if entry is entries[-1] else '├──'
        mark = 'found' if entry.found else 'MISSING' if entry.state.startswith('missing') else f'MISSING: {entry.state}'
        lines.append(f'{branch} {entry.shown:<{width - 4}}  {mark}  ({entry.argument})')
    return '\n'.join(lines)


def _below(path: str, root: str) -> str:
    """Return a path as the config names it: without the data root that the dataset has put before it."""
    root = root.rstrip('/')
    return '' if root and path == root else path.removeprefix(f'{root}/') if root else path
