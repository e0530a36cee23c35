"""Reading one file of a scan's list: counts as training sees them, and what is wrong."""
from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..stats.npz import Array
from . import explain
from .counting import ClassCounts, class_counts, show_values, value_counts
from .image_file import content_digest, file_stamp, loaded_shape, sample_digest
from .label_file import RawLabel, damage, decode
from .labels import SEEDS
from .records import Problem, RecordsBuilder
from .sources import is_local


class _DroppedError(Exception):
    """A transform leaves an image out of the training."""


class FileReader:
    """Reads one label and looks at its image; what is wrong becomes a problem of the records, not an exception."""

    def __init__(self, reader: Any, builder: RecordsBuilder, position: int) -> None:
        self.reader, self.builder, self.position = reader, builder, position
        source = int(reader.files.source[position])
        self.chain = reader.chains[source]
        self.palette = (getattr(reader.leaves[source], 'metainfo', None) or {}).get('palette')
        self.image_loader, self.ignore_index = reader.image_loaders[source], reader.ignore_index[source]

    def problem(self, finding: str, detail: str) -> None:
        self.builder.problems.append(Problem(self.position, finding, detail))

    def read(self) -> None:
        info = self.reader.info(self.position)
        label_digest, shape, counts = b'', None, None
        stamp = file_stamp(info['seg_map_path'], info.get('img_path'))
        try:
            data = self._bytes(info)
            label_digest = content_digest(data) if data else b''
            shape, counts = self._count(info, data)
        except Exception as error:  # whatever a backend raises is that file's problem, and all bad files are wanted
            missing = isinstance(error, FileNotFoundError)
            self.problem('missing_label' if missing else 'unreadable_label',
                         'there is nothing at this path' if missing else _describe(error, None))
        image_digest = self._look_at_image(info, shape)
        if counts is None:
            self.builder.add(self.position, label_digest, image_digest, stamp=stamp)
        else:
            self.builder.add(self.position, label_digest, image_digest, stamp=stamp, class_index=counts.class_index,
                             pixels=counts.pixels, ignored=counts.ignored)

    def _bytes(self, info: Any) -> bytes:
        """Return the label file; nothing for a loader of the user's own that reads something else."""
        from mmengine.fileio import get
        try:
            loader = self.chain.loader or self.chain.steps[0]
            return bytes(get(info['seg_map_path'], backend_args=getattr(loader, 'backend_args', None)))
        except Exception:
            if self.chain.loader is not None:
                raise
            return b''

    def _count(self, info: Any, data: bytes) -> tuple[Any, ClassCounts | None]:
        harm = damage(data)
        try:
            raw, values, pixels = self._load(info, data)
        except FileNotFoundError:
            raise
        except _DroppedError:
            self.problem('unsteady_label', f'is dropped by {" or ".join(self.chain.own)}; not counted')
            return None, None
        except Exception as error:  # likewise of a decoder
            if harm is None:
                self.problem('unreadable_label', _describe(error, len(data)))
            else:
                self.problem(harm[0], f'{harm[1]}, and cannot be decoded')
            return None, None
        if harm is not None:
            self.problem(*harm)
        if explain.is_lossy(data):
            self.problem('lossy_label', explain.LOSSY)
        if len(raw.shape) != 2 or raw.values.dtype.kind not in 'iufb':
            why = explain.colours(data, getattr(self.chain.loader, 'imdecode_backend', 'pillow'), self.reader.classes,
                                  self.palette) if len(raw.shape) == 3 and data else 'write class indices in one channel'
            self.problem('not_one_channel', f'loads as an array {raw.shape} of {raw.values.dtype}; {why}')
            return None, None
        counts = class_counts(values, pixels, self.reader.num_classes, self.ignore_index)
        if counts.outside:
            self.problem('outside_classes', f'holds {counts.outside}, which are neither below {self.reader.num_classes} '
                         f'(the number of classes) nor {self.ignore_index} (ignored)')
        elif not len(counts.class_index):
            self.problem('empty_label', f'all {counts.ignored} pixels are ignored')
        return raw.shape, counts

    def _load(self, info: Any, data: bytes) -> tuple[RawLabel, Array, Array]:
        """Return what the file holds, and the values that training sees with their pixels."""
        if self.chain.plain:
            raw = decode(data, self.chain.loader.imdecode_backend)
            totals = np.zeros(256, np.int64)
            with np.errstate(invalid='ignore'):
                np.add.at(totals, self.reader.training_table(info)[raw.values.astype(np.uint8)], raw.counts)
            values = np.flatnonzero(totals)
            self._look_at_values(raw)
            return raw, values, totals[values]
        if self.chain.loader is not None:
            self._look_at_values(decode(data, self.chain.loader.imdecode_backend))
        labels = self._own_labels(info)
        if labels is None or labels.ndim != 2 or labels.dtype.kind not in 'iu':
            none = np.zeros(0, np.int64)
            return RawLabel(np.zeros(0, getattr(labels, 'dtype', object)), none, getattr(labels, 'shape', ())), none, none
        values, counts = value_counts(labels)
        return RawLabel(values, counts, labels.shape), values, counts

    def _own_labels(self, info: Any) -> Array | None:
        """Return the labels after all transforms that are counted through; a random one among them becomes a problem."""
        labels = self.chain.labels(info, self.position, SEEDS[0])
        if not self.chain.own:
            return labels
        if labels is None:
            raise _DroppedError
        again = self.chain.labels(self.reader.info(self.position), self.position, SEEDS[1])
        if again is None or not np.array_equal(labels, again):
            self.problem('unsteady_label', f'differs between two seeds after {", ".join(self.chain.own)}; counted under one')
        return labels

    def _look_at_values(self, raw: RawLabel) -> None:
        if len(raw.shape) != 2 or raw.values.dtype.kind not in 'iufb':
            return
        self.builder.add_raw(raw.values, raw.counts)
        whole = raw.values.astype(np.int64) if raw.values.dtype.kind == 'f' else raw.values
        wide = (raw.values != whole) | (whole < 0) | (whole > 255)
        if wide.any():
            first = raw.values[wide][0]
            with np.errstate(invalid='ignore'):
                becomes = first.astype(np.uint8)
            self.problem('wide_values', f'holds {show_values(raw.values[wide], raw.counts[wide])} as {raw.values.dtype}; '
                         f'training sees {becomes} instead of {first}; '
                         f'{explain.wide(raw.values, self.reader.num_classes, self.ignore_index)}')

    def _look_at_image(self, info: Any, shape: Any) -> bytes:
        path, loader = info.get('img_path'), self.image_loader
        if path is None:
            return b''
        try:
            if not is_local(path, getattr(loader, 'backend_args', None)):
                return content_digest(os.fsencode(path))
            with open(path, 'rb') as file:
                digest = sample_digest(file)
                size = None if loader is None else loaded_shape(file, loader)
        except FileNotFoundError:
            self.problem('missing_image', f'its image {self.reader.files.images[self.position]!r} is not there')
            return b''
        except Exception as error:  # likewise
            self.problem('unreadable_image', _describe(error, None))
            return b''
        if size is not None and shape is not None and tuple(shape) != size:
            self.problem('size_mismatch', f'is {shape[1]} x {shape[0]} pixels, its image {size[1]} x {size[0]}')
        return digest


def digest_at(path: str, backend_args: Any) -> bytes:
    """Return the digest of an image of which nothing else is wanted; nothing if it cannot be read."""
    try:
        if not is_local(path, backend_args):
            return content_digest(os.fsencode(path))
        with open(path, 'rb') as file:
            return sample_digest(file)
    except (OSError, ImportError, ValueError):  # not there, or behind a backend that is not installed
        return b''


def _describe(error: Exception, size: int | None) -> str:
    """Return what a decoder or file system says, without paths, which differ between machines."""
    if isinstance(error, OSError) and error.strerror:
        return f'cannot be read: {error.strerror}'
    text = ' '.join(str(error).split())
    if type(error).__name__ == 'UnidentifiedImageError' or text == 'no pixels':
        return 'is no image' + ('' if size is None else f': {size} bytes')
    return f'cannot be decoded: {type(error).__name__}: {text}'
