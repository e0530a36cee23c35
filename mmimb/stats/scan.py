"""The scanner: count what the trainer sees, through the dataset's own label loading, with several processes.

One function counts one file (:class:`LabelCounter`), an iterator runs it over the files in order
(:func:`iterate_counts`), an accumulator adds up. Each can be replaced without the others noticing.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from .. import __version__
from .class_stats import ClassStats
from .counting import Accumulator, ImageCount, count_labels
from .per_image import PerImageCounts
from .sources import class_names, hash_names, label_files, label_loaders, leaves

FILES_PER_TASK = 8
MAX_DEFAULT_WORKERS = 8


class BadLabelsError(ValueError):
    """Label files break rules; ``problems`` has one ``<file>: <rule>, got <value>`` for each."""

    def __init__(self, problems: Sequence[str], num_images: int) -> None:
        super().__init__(f'label files must all be usable, got {len(problems)} bad among {num_images}: {problems[0]}')
        self.problems = tuple(problems)
        self.num_images = num_images


@dataclass(frozen=True)
class Scan:
    """What a scan found: the sums and, for samplers, the counts of every image."""

    stats: ClassStats
    per_image: PerImageCounts


class LabelCounter(Dataset[ImageCount]):
    """Maps a position in ``files`` to its :class:`ImageCount`; loads labels only, never images.

    Args:
        dataset: A built dataset or wrapper of datasets.
        ignore_index: Label of pixels that do not count; by default what each dataset says.
    """

    def __init__(self, dataset: Any, ignore_index: int | None = None) -> None:
        self.files = label_files(dataset)
        self.leaves = leaves(dataset)
        self.loaders = [label_loaders(leaf) for leaf in self.leaves]
        self.num_classes = len(class_names(dataset))
        self.ignore_index = [int(leaf.ignore_index) if ignore_index is None else ignore_index for leaf in self.leaves]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> ImageCount:
        file = self.files[position]
        try:
            data = self.leaves[file.source].get_data_info(file.index)
            for loader in self.loaders[file.source]:
                data = loader(data)
            labels = data['gt_seg_map']
        except Exception as error:  # whatever a decoder raises is that file's problem, and all bad files are wanted
            return ImageCount(file.name, np.zeros(0, np.int32), np.zeros(0, np.int64), 0, (_unreadable(file.path, error),))
        return count_labels(labels, self.num_classes, self.ignore_index[file.source], file.name)


def iterate_counts(counter: LabelCounter, workers: int) -> Iterator[ImageCount]:
    """Yield the counts of every file in order; ``workers`` processes do the work, which end with their parent."""
    if workers == 0:
        yield from (counter[i] for i in range(len(counter)))
        return
    loader = DataLoader(counter, batch_size=FILES_PER_TASK, num_workers=min(workers, -(-len(counter) // FILES_PER_TASK)),
                        collate_fn=list, worker_init_fn=_start_worker, prefetch_factor=4)
    for counts in loader:
        yield from counts


def scan_dataset(dataset: Any, workers: int | None = None, split: str | None = None, *, ignore_index: int | None = None,
                 progress: Callable[[int, int], None] | None = None) -> Scan:
    """Count the labels of every image of ``dataset`` once, after its own ``reduce_zero_label`` and ``label_map``.

    Args:
        dataset: A built mmseg dataset, or mmengine's or mmseg's wrappers around some.
        workers: Processes that read; 0 reads here, None takes the cores (8 at most).
        split: Name for the provenance.
        ignore_index: What the heads ignore; by default what the dataset says.
        progress: Called after each image with the number done and the number of all.

    Raises:
        BadLabelsError: Label files are missing, unreadable or hold labels out of range; it names all of them.
        ValueError: The dataset is empty, has no label loading, or no pixel has a label.
    """
    workers = default_workers() if workers is None else workers
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise ValueError(f'`workers` must be an integer of at least 0, got {workers!r}')
    counter = LabelCounter(dataset, ignore_index)
    total, problems = Accumulator(counter.num_classes), []
    for done, (file, count) in enumerate(zip(counter.files, iterate_counts(counter, workers), strict=True), start=1):
        problems += [f'{file.path}: {problem}' for problem in count.problems]
        total.add(count)
        if progress is not None:
            progress(done, len(counter))
    if problems:
        raise BadLabelsError(problems, len(counter))
    return Scan(total.stats(class_names(dataset), _provenance(counter, split)), total.per_image())


def default_workers() -> int:
    """Return the number of cores this process may use, 8 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return min(cores, MAX_DEFAULT_WORKERS)


def _start_worker(worker_id: int) -> None:
    import cv2
    cv2.setNumThreads(0)


def _provenance(counter: LabelCounter, split: str | None) -> dict[str, Any]:
    def same(values: list[Any]) -> Any:
        return values[0] if all(v == values[0] for v in values) else values

    maps = [None if leaf.label_map is None else {str(k): int(v) for k, v in leaf.label_map.items()} for leaf in counter.leaves]
    return {
        'dataset': same([type(leaf).__name__ for leaf in counter.leaves]),
        'split': split,
        'reduce_zero_label': same([bool(leaf.reduce_zero_label) for leaf in counter.leaves]),
        'label_map': same(maps),
        'ignore_index': same(counter.ignore_index),
        'num_images': len(counter),
        'fingerprint': hash_names(file.name for file in counter.files),
        'mmimb': __version__,
    }


def _unreadable(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return 'must be a label file, got nothing at this path'
    try:
        size = f' of a file of {os.path.getsize(path)} bytes'
    except OSError:
        size = ''
    text = ' '.join(str(error).split())
    if type(error).__name__ == 'UnidentifiedImageError' or "'NoneType' object" in text:  # the decoders' ways to say so
        return f'must be a readable label image, got no image out{size}'
    return f'must be a readable label image, got {type(error).__name__}: {text}'
