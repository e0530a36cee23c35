"""Reading one label file and its image."""
from __future__ import annotations

import copy
import os
import zlib
from typing import Any

import numpy as np

from ..files import require_regular
from ..stats.npz import Array
from . import explain
from .counting import ClassCounts, class_counts, show_values, value_counts
from .image_file import content_digest, file_stamp, loaded_shape, sample_digest
from .label_file import RawLabel, damage, decode, missing_pixels, training_values
from .labels import SEEDS, label_chain
from .records import FileRecord
from .sources import dataset_classes, image_loader, is_local

Found = tuple[str, str]  # a finding and its detail


class _DroppedError(Exception):
    """A transform leaves an image out of the training."""


class FileReader:
    """Reads the labels of one dataset and looks at its images: counts as training sees them, and what is wrong.

    Args:
        dataset: A built dataset, no wrapper.
        num_classes: Classes of the scan.
        ignore_index: Label of pixels that do not count.

    Raises:
        ValueError: The pipeline has no label loading.
    """

    def __init__(self, dataset: Any, num_classes: int, ignore_index: int) -> None:
        self.chain, self.image_loader = label_chain(dataset), image_loader(dataset)
        self.classes = dataset_classes(dataset) or ()
        self.palette = (getattr(dataset, 'metainfo', None) or {}).get('palette')
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self._table: tuple[Any, Array] | None = None

    def read(self, info: Any, image_name: str) -> FileRecord:
        """Return what an entry of the dataset shows. What is wrong becomes a problem of the record, not an exception.

        Args:
            info: The dataset's own entry.
            image_name: The image as a finding names it.
        """
        problems: list[Found] = []
        label_digest, raw, shape, counts = b'', None, None, None
        stamp = _stamp(info)
        try:
            data = self._bytes(info)
            label_digest = content_digest(data) if data else b''
            raw, shape, counts = self._count(info, data, problems)
        except Exception as error:  # any error of a backend is a problem of this file; the scan goes on
            missing = isinstance(error, FileNotFoundError)
            problems.append(('missing_label' if missing else 'unreadable_label',
                             'there is nothing at this path' if missing else _describe(error, None)))
        image_digest = self._look_at_image(info, image_name, shape, problems)
        return FileRecord(stamp, label_digest, image_digest, counts, raw, tuple(problems))

    def _bytes(self, info: Any) -> bytes:
        """Return the bytes of the label file; none if a custom loader reads its labels from elsewhere."""
        from mmengine.fileio import get
        loader, path = self.chain.loader or self.chain.steps[0], info.get('seg_map_path')
        backend_args = getattr(loader, 'backend_args', None)
        if isinstance(path, str) and os.path.exists(path) and is_local(path, backend_args):
            require_regular(path)
        try:
            return bytes(get(info['seg_map_path'], backend_args=backend_args))
        except Exception:
            if self.chain.loader is not None:
                raise
            return b''

    def _count(self, info: Any, data: bytes, problems: list[Found]) -> tuple[RawLabel | None, Any, ClassCounts | None]:
        """Return what the file holds, where it can be looked at, the shape of the labels, and their counts."""
        harm = damage(data)
        try:
            raw, labels = self._load(info, data, problems)
        except FileNotFoundError:
            raise
        except _DroppedError:
            problems.append(('unsteady_label', f'is dropped by {" or ".join(self.chain.own)}; not counted'))
            return None, None, None
        except Exception as error:  # any error of a decoder, too
            if harm is None:
                problems.append(('unreadable_label', _describe(error, len(data))))
            else:
                problems.append((harm[0], f'{harm[1]}, and cannot be decoded'))
            return None, None, None
        if harm is None and (raw is None or not raw.ended):
            harm = missing_pixels(data)
        if harm is not None:
            problems.append(harm)
        if explain.is_lossy(data):
            problems.append(('lossy_label', explain.LOSSY))
        if len(labels.shape) != 2 or labels.values.dtype.kind not in 'iufb':
            problems.append(('not_one_channel', f'loads as an array {labels.shape} of {labels.values.dtype}; '
                             f'{self._why_channels(data, labels.shape)}'))
            return None, None, None
        if raw is not None:
            problems += self._wide_values(raw)
        counts = class_counts(labels.values, labels.counts, self.num_classes, self.ignore_index)
        if counts.outside:
            problems.append(('outside_classes', f'holds {counts.outside}, which are neither below {self.num_classes} '
                             f'(the number of classes) nor {self.ignore_index} (ignored)'))
        elif not len(counts.class_index):
            problems.append(('empty_label', f'all {counts.ignored} pixels are ignored'))
        return raw, labels.shape, counts

    def _load(self, info: Any, data: bytes, problems: list[Found]) -> tuple[RawLabel | None, RawLabel]:
        """Return what the file holds, None where its loader is not known, and the labels that training sees."""
        loader = self.chain.loader
        raw = None if loader is None else decode(data, loader.imdecode_backend)
        if raw is not None and (len(raw.shape) != 2 or raw.values.dtype.kind not in 'iufb'):
            if self.chain.plain:
                return None, raw
            raw = None  # a transform may make classes of colours
        if self.chain.plain and raw is not None:
            totals = np.zeros(256, np.int64)
            with np.errstate(invalid='ignore'):
                np.add.at(totals, self._training_table(info)[raw.values.astype(np.uint8)], raw.counts)
            values = np.flatnonzero(totals)
            return raw, RawLabel(values, totals[values], raw.shape)
        labels = self._own_labels(info, problems)
        if labels.ndim != 2 or labels.dtype.kind not in 'iu':
            return raw, RawLabel(np.zeros(0, labels.dtype), np.zeros(0, np.int64), labels.shape)
        return raw, RawLabel(*value_counts(labels), labels.shape)

    def _own_labels(self, info: Any, problems: list[Found]) -> Array:
        """Return the labels after all transforms that are counted through; a random one among them becomes a problem."""
        again, number = copy.deepcopy(info), zlib.crc32(os.fsencode(os.path.basename(info['seg_map_path'])))
        labels = self.chain.labels(info, number, SEEDS[0])
        if labels is None:
            raise _DroppedError
        if self.chain.own:
            other = self.chain.labels(again, number, SEEDS[1])
            if other is None or not np.array_equal(labels, other):
                problems.append(('unsteady_label', f'differs between two seeds after {", ".join(self.chain.own)}; counted '
                                 'under one'))
        return labels

    def _why_channels(self, data: bytes, shape: tuple[int, ...]) -> str:
        if len(shape) != 3 or not data:
            return 'write class indices in one channel'
        backend = getattr(self.chain.loader, 'imdecode_backend', 'pillow')
        return explain.colours(data, backend, self.classes, self.palette)

    def _wide_values(self, raw: RawLabel) -> list[Found]:
        """Return the finding of a label file with values that do not fit 8 bits, if it has some."""
        whole = raw.values.astype(np.int64) if raw.values.dtype.kind == 'f' else raw.values
        wide = (raw.values != whole) | (whole < 0) | (whole > 255)
        if not wide.any():
            return []
        first = raw.values[wide][0]
        with np.errstate(invalid='ignore'):
            becomes = first.astype(np.uint8)
        return [('wide_values', f'holds {show_values(raw.values[wide], raw.counts[wide])} as {raw.values.dtype}; training sees '
                 f'{becomes} instead of {first}; {explain.wide(raw.values, self.num_classes, self.ignore_index)}')]

    def _training_table(self, info: Any) -> Array:
        """Return :func:`training_values` for an entry of the dataset."""
        key = bool(info['reduce_zero_label']), info.get('label_map')
        if self._table is None or self._table[0] != key:
            self._table = key, training_values(*key)
        return self._table[1]

    def _look_at_image(self, info: Any, name: str, shape: Any, problems: list[Found]) -> bytes:
        path, loader = info.get('img_path'), self.image_loader
        if path is None:
            return b''
        try:
            if not is_local(path, getattr(loader, 'backend_args', None)):
                return content_digest(os.fsencode(path))
            require_regular(path)
            with open(path, 'rb') as file:
                digest = sample_digest(file)
                size = None if loader is None else loaded_shape(file, loader)
        except FileNotFoundError:
            problems.append(('missing_image', f'its image {name!r} is not there'))
            return b''
        except Exception as error:  # any error, as above
            problems.append(('unreadable_image', _describe(error, None)))
            return b''
        if size is not None and shape is not None and tuple(shape) != size:
            problems.append(('size_mismatch', f'is {shape[1]} x {shape[0]} pixels, its image {size[1]} x {size[0]}'))
        return digest


def look_at(info: Any, loader: Any) -> FileRecord:
    """Return the record of an entry that is only compared with others: the digest of its image, nothing if it is unreadable.

    Args:
        info: The dataset's own entry.
        loader: The LoadImageFromFile of the dataset, or None.
    """
    path, stamp = info.get('img_path') or info['seg_map_path'], _stamp(info)
    try:
        if not is_local(path, getattr(loader, 'backend_args', None)):
            return FileRecord(stamp, image_digest=content_digest(os.fsencode(path)))
        require_regular(path)
        with open(path, 'rb') as file:
            return FileRecord(stamp, image_digest=sample_digest(file))
    except (OSError, ImportError, ValueError):  # not there, or behind a backend that is not installed
        return FileRecord(stamp)


def _stamp(info: Any) -> int:
    return file_stamp(info['seg_map_path'], info.get('img_path'))


def _describe(error: Exception, size: int | None) -> str:
    """Return the message of an error without paths, which differ between machines."""
    if isinstance(error, OSError) and error.strerror:
        return f'cannot be read: {error.strerror}'
    text = ' '.join(str(error).split())
    if type(error).__name__ == 'UnidentifiedImageError' or text == 'no pixels':
        return 'is no image' + ('' if size is None else f': {size} bytes')
    return f'cannot be decoded: {type(error).__name__}: {text}'
