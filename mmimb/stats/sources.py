"""Which label files a dataset trains on, and which of its own transforms read them."""
from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelFile:
    """One label map of a dataset.

    Args:
        path: What the dataset's loader opens.
        name: The same relative to the data root, with forward slashes: equal on every machine.
        source: Which of :func:`leaves` it belongs to.
        index: Where it is in that dataset.
    """

    path: str
    name: str
    source: int
    index: int


def leaves(dataset: Any) -> list[Any]:
    """Return the datasets inside wrappers that repeat, join, balance or mix (``.dataset``, ``.datasets``)."""
    if hasattr(dataset, 'datasets'):
        return [leaf for part in dataset.datasets for leaf in leaves(part)]
    return leaves(dataset.dataset) if hasattr(dataset, 'dataset') else [dataset]


def label_files(dataset: Any) -> list[LabelFile]:
    """Return every label file once, in the dataset's order, however often a wrapper repeats it.

    Raises:
        ValueError: The dataset is empty, or has images without label files.
    """
    found: dict[tuple[str | None, str], LabelFile] = {}
    for source, leaf in enumerate(leaves(dataset)):
        leaf.full_init()
        for index in range(len(leaf)):
            info = leaf.get_data_info(index)
            path = info.get('seg_map_path')
            if path is None:
                raise ValueError(f'`data_prefix` of {type(leaf).__name__} must have `seg_map_path`, got {leaf.data_prefix!r}')
            found.setdefault((info.get('img_path'), path), LabelFile(path, _relative(path, leaf), source, index))
    if not found:
        raise ValueError(f'`dataset` must have at least one image, got an empty {type(leaves(dataset)[0]).__name__}')
    return list(found.values())


def fingerprint(dataset: Any) -> str:
    """Return the SHA-256 over the ordered names of the label files, relative to the data root.

    Two datasets have the same fingerprint if they train on the same list of files, on any machine and however often
    wrappers repeat them. The content of the files is not part of it.
    """
    return hash_names(file.name for file in label_files(dataset))


def hash_names(names: Iterable[str]) -> str:
    """Return the SHA-256 of a list of file names."""
    return hashlib.sha256('\0'.join(names).encode('utf-8', 'surrogateescape')).hexdigest()


def class_names(dataset: Any) -> tuple[str, ...]:
    """Return the class names, in label order.

    Raises:
        ValueError: The dataset has none, or joined datasets disagree.
    """
    names = [tuple(leaf.metainfo.get('classes') or ()) for leaf in leaves(dataset)]
    if not names[0]:
        raise ValueError(f'`metainfo` of {type(leaves(dataset)[0]).__name__} must name the `classes`, got none')
    if any(other != names[0] for other in names):
        raise ValueError(f'`datasets` must have the same classes, got {len(set(names))} different lists')
    return names[0]


def label_loaders(leaf: Any) -> list[Any]:
    """Return the transforms of the dataset's pipeline that load labels, in order.

    Raises:
        ValueError: There is none, or it contradicts the dataset's ``reduce_zero_label``.
    """
    from mmcv.transforms import LoadAnnotations
    from mmseg.datasets.transforms import LoadBiomedicalAnnotation

    loaders = [t for t in _flat(leaf.pipeline) if isinstance(t, (LoadAnnotations, LoadBiomedicalAnnotation))]
    if not loaders:
        names = [type(t).__name__ for t in _flat(leaf.pipeline)]
        raise ValueError(f'`pipeline` of {type(leaf).__name__} must hold a LoadAnnotations, got {names!r}')
    for loader in loaders:
        reduce = getattr(loader, 'reduce_zero_label', None)
        if reduce is not None and reduce != leaf.reduce_zero_label:
            raise ValueError(f'`reduce_zero_label` of LoadAnnotations must be that of {type(leaf).__name__} '
                             f'({leaf.reduce_zero_label}), got {reduce!r}')
    return loaders


def _flat(transform: Any) -> Iterator[Any]:
    inner = getattr(transform, 'transforms', None)
    if isinstance(inner, (list, tuple)):
        for part in inner:
            yield from _flat(part)
    else:
        yield transform


def _relative(path: str, leaf: Any) -> str:
    for root in (getattr(leaf, 'data_root', None), (getattr(leaf, 'data_prefix', None) or {}).get('seg_map_path')):
        start = str(root).replace('\\', '/').rstrip('/') + '/' if root else ''
        plain = path.replace('\\', '/')
        if start and plain.startswith(start):
            return posixpath.normpath(plain[len(start):].lstrip('/'))
    return posixpath.basename(path.replace('\\', '/')) if posixpath.isabs(path) else posixpath.normpath(path)
