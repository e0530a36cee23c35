"""The label files that a dataset trains on, and the transforms of its pipeline that read them."""
from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Subset

from ..stats.npz import Array
from .names import Names, NamesBuilder, relative_name, root_names


class UnlistedError(ValueError):
    """A dataset that does not say which label files it has."""


def leaves(dataset: Any) -> list[Any]:
    """Return the datasets inside wrappers that repeat, join, balance or mix (``.dataset``, ``.datasets``).

    A ``Subset`` of torch is no such wrapper: it leaves out images.
    """
    if isinstance(dataset, Subset):
        return [dataset]
    if hasattr(dataset, 'datasets'):
        return [leaf for part in dataset.datasets for leaf in leaves(part)]
    inner = getattr(dataset, 'dataset', None)
    return leaves(inner) if hasattr(inner, '__getitem__') and not isinstance(inner, (str, dict)) else [dataset]


@dataclass(frozen=True)
class LabelFile:
    """One label map of a dataset.

    Args:
        path: What the dataset's loader opens.
        name: The same relative to the data root, with forward slashes: equal on every machine. Where datasets with several
            roots are joined, the last folders of the root come first.
        source: Which of :func:`leaves` it belongs to.
        index: Where it is in that dataset.
    """

    path: str
    name: str
    source: int
    index: int


@dataclass(frozen=True)
class LabelFiles:
    """Every label file of a dataset once, in the dataset's order, however often a wrapper repeats it.

    Args:
        labels: Label names below the data root, with forward slashes: equal on every machine.
        images: Names of their images.
        source: ``(N,)``, which of :func:`leaves` each belongs to.
        index: ``(N,)``, where it is in that dataset.
        parts: The datasets.

    Held in arrays: Python objects for a million files would take gigabytes, and be copied into every worker that reads them.
    """

    labels: Names
    images: Names
    source: Array
    index: Array
    parts: list[Any]

    def __len__(self) -> int:
        return len(self.index)

    def info(self, at: int) -> Any:
        """Return the dataset's own entry."""
        return self.parts[self.source[at]].get_data_info(int(self.index[at]))

    def __iter__(self) -> Iterator[LabelFile]:
        for at in range(len(self)):
            yield LabelFile(self.info(at)['seg_map_path'], self.labels[at], int(self.source[at]), int(self.index[at]))


def label_files(dataset: Any) -> LabelFiles:
    """Return the label files of a dataset, or of all inside wrappers: what its entries say.

    Raises:
        UnlistedError: A dataset has no list of entries as mmengine's ``BaseDataset`` has, or they name no label files.
        ValueError: The dataset is empty.
    """
    labels, images = NamesBuilder(), NamesBuilder()
    source, index = array('i'), array('q')
    seen: set[bytes] = set()
    parts = leaves(dataset)
    for number, (leaf, root) in enumerate(zip(parts, root_names(parts), strict=True)):
        if not all(callable(getattr(leaf, name, None)) for name in ('full_init', 'get_data_info')):
            raise UnlistedError("`dataset` must list its files as mmengine's BaseDataset does, got "
                                f'{type(leaf).__module__}.{type(leaf).__name__}')
        leaf.full_init()
        for at in range(len(leaf)):
            info = leaf.get_data_info(at)
            path, image = info.get('seg_map_path'), info.get('img_path')
            if not isinstance(path, str):
                raise UnlistedError(f'`data_prefix` of {type(leaf).__name__} must have `seg_map_path`, or each of its entries, '
                                    f'got {getattr(leaf, "data_prefix", None)!r} and an entry with {sorted(map(str, info))}')
            image = image if isinstance(image, str) else None
            key = hashlib.blake2b(f'{image}\0{path}'.encode('utf-8', 'surrogateescape'), digest_size=16).digest()
            if key in seen:
                continue
            seen.add(key)
            labels.add(relative_name(path, leaf, 'seg_map_path', root))
            images.add('' if image is None else relative_name(image, leaf, 'img_path', root))
            source.append(number)
            index.append(at)
    if not index:
        raise ValueError(f'`dataset` must have at least one image, got an empty {type(parts[0]).__name__}')
    return LabelFiles(labels.names(), images.names(), np.array(source, np.int32), np.array(index, np.int64), parts)


def fingerprint(dataset: Any) -> str:
    """Return the SHA-256 over the ordered names of the label files, relative to the data root.

    Two datasets have the same fingerprint if they train on the same list of files, on any machine and however often
    wrappers repeat them. The content of the files is not part of it.
    """
    return hash_names(label_files(dataset).labels)


def hash_names(names: Iterable[str]) -> str:
    """Return the SHA-256 of a list of file names."""
    digest, between = hashlib.sha256(), b''
    for name in names:
        digest.update(between + name.encode('utf-8', 'surrogateescape'))
        between = b'\0'
    return digest.hexdigest()


def dataset_classes(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names in the ``metainfo`` of a dataset or wrapper, in label order; None if there are none."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return tuple(classes) if classes else None


def class_names(dataset: Any) -> tuple[str, ...]:
    """Return the class names, in label order.

    Raises:
        ValueError: The dataset has none, or joined datasets disagree.
    """
    names = [dataset_classes(leaf) for leaf in leaves(dataset)]
    if names[0] is None:
        raise ValueError(f'`metainfo` of {type(leaves(dataset)[0]).__name__} must name the `classes`, got none')
    if any(other != names[0] for other in names):
        raise ValueError(f'`datasets` must have the same classes, got {len(set(names))} different lists')
    return names[0]


def ignored_label(leaf: Any) -> int:
    """Return the label that a dataset says is ignored; 255, as for mmseg, where it says nothing."""
    return int(getattr(leaf, 'ignore_index', 255))


def label_settings(leaf: Any) -> dict[str, Any]:
    """Return ``reduce_zero_label`` and ``label_map`` of the entries of a dataset, a list where they differ.

    The entries are what LoadAnnotations reads: a ``load_data_list`` of one's own may map more than the dataset says.

    Raises:
        ValueError: A ``label_map`` has an entry that no loading can use.
    """
    found: dict[str, list[Any]] = {'reduce_zero_label': [], 'label_map': []}
    entries = (leaf.get_data_info(at) for at in range(len(leaf))) if len(leaf) else [vars(leaf)]
    last: list[Any] = []
    for entry in entries:
        given = [entry.get(key) for key in found]
        if given != last:
            last = given
            for values, value in zip(found.values(), (bool(given[0]), _plain_map(leaf, given[1])), strict=True):
                if value not in values:
                    values.append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _plain_map(leaf: Any, label_map: Any) -> Any:
    if label_map is None:
        return None
    for old, new in label_map.items():
        try:
            number = np.uint8(new)  # as the label map is assigned to
        except (OverflowError, TypeError, ValueError):
            number = None
        if number is None or isinstance(old, str):  # a text equals no value
            raise ValueError(f'`label_map` of {type(leaf).__name__} must map numbers to class numbers that fit 8 bits, '
                             f'got {old!r}: {new!r}')
    return {str(old): int(new) for old, new in label_map.items()}


def label_loaders(leaf: Any) -> list[Any]:
    """Return the transforms of the dataset's pipeline that load labels, in order.

    Raises:
        ValueError: There is none, or it contradicts the dataset's ``reduce_zero_label``.
    """
    loaders = [t for t in flat(leaf.pipeline) if is_label_loader(t)]
    if not loaders:
        names = [type(t).__name__ for t in flat(leaf.pipeline)]
        raise ValueError(f'`pipeline` of {type(leaf).__name__} must hold a LoadAnnotations, got {names!r}')
    entry = leaf.get_data_info(0) if len(leaf) else {}
    wanted = [key for key in ('reduce_zero_label', 'seg_fields') if key not in entry]
    if entry and wanted and is_plain(loaders):
        raise ValueError(f'`dataset` must give {" and ".join(wanted)} to LoadAnnotations in its entries, got a '
                         f'{type(leaf).__name__} with {", ".join(sorted(map(str, entry)))}')
    for loader in loaders:
        reduce = getattr(loader, 'reduce_zero_label', None)
        if reduce is not None and reduce != getattr(leaf, 'reduce_zero_label', reduce):
            raise ValueError(f'`reduce_zero_label` of LoadAnnotations must be that of {type(leaf).__name__} '
                             f'({leaf.reduce_zero_label}), got {reduce!r}')
    return loaders


def is_label_loader(transform: Any) -> bool:
    """Whether a transform is one of mmcv's or mmseg's that load labels, or is derived from one."""
    from mmcv.transforms import LoadAnnotations
    from mmseg.datasets.transforms import LoadBiomedicalAnnotation

    return isinstance(transform, (LoadAnnotations, LoadBiomedicalAnnotation))


def image_loader(leaf: Any) -> Any:
    """Return the LoadImageFromFile of the dataset's pipeline; None if another transform loads its images."""
    from mmcv.transforms import LoadImageFromFile

    return next((t for t in flat(leaf.pipeline) if type(t) is LoadImageFromFile), None)


def is_plain(loaders: list[Any]) -> bool:
    """Whether mmseg's own LoadAnnotations is the only label loading, so that the scanner can decode the file itself."""
    from mmseg.datasets.transforms import LoadAnnotations

    return len(loaders) == 1 and type(loaders[0]) is LoadAnnotations


def is_local(path: str, backend_args: Any) -> bool:
    """Whether ``path`` is a file of this machine under these ``backend_args``."""
    from mmengine.fileio import LocalBackend, get_file_backend

    return isinstance(get_file_backend(path, backend_args=backend_args, enable_singleton=True), LocalBackend)


def flat(transform: Any) -> Iterator[Any]:
    """Yield the transforms inside a pipeline, and inside those that hold others."""
    inner = getattr(transform, 'transforms', None)
    parts = inner if isinstance(inner, (list, tuple)) else [] if inner is None else [inner]
    if parts and all(callable(part) for part in parts):
        for part in parts:
            yield from flat(part)
    elif not isinstance(transform, list):
        yield transform
