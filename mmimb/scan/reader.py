"""Reading the files at some positions of a scan's list: counts as training sees them, and what is wrong."""
from __future__ import annotations

from typing import Any

from ..stats.npz import Array
from .image_file import file_stamp
from .label_file import training_values
from .labels import label_chain
from .manifest import Manifest, describe
from .records import Records, RecordsBuilder
from .sources import LabelFiles, class_names, ignored_label, image_loader, label_files, leaves


class Reader:
    """Maps positions of the list to :class:`Records`; decodes labels, and images where a transform of the user's asks for them.

    Args:
        dataset: A built dataset or wrapper of datasets.
        ignore_index: Label of pixels that do not count; by default what each dataset says.
        split: Name for the provenance.
        other: The dataset of another split that must share no files with this one.
        other_split: Its name.
    """

    def __init__(self, dataset: Any, ignore_index: int | None = None, split: str | None = None, *, other: Any = None,
                 other_split: str | None = None) -> None:
        self.files = label_files(dataset)
        self.leaves = leaves(dataset)
        self.classes = class_names(dataset)
        self.num_classes = len(self.classes)
        self.chains = [label_chain(leaf) for leaf in self.leaves]
        self.image_loaders = [image_loader(leaf) for leaf in self.leaves]
        self.ignore_index = [ignored_label(leaf) if ignore_index is None else ignore_index for leaf in self.leaves]
        self.other_files: LabelFiles | None = None if other is None else label_files(other)
        self.other_loaders = [] if other is None else [image_loader(leaf) for leaf in leaves(other)]
        self.manifest: Manifest = describe(dataset, self.files, self.chains, split, self.ignore_index, self.other_files,
                                           other_split)
        self._table: tuple[Any, Array] | None = None

    def _find(self, position: int) -> tuple[LabelFiles, int]:
        if position >= len(self.files) and self.other_files is not None:
            return self.other_files, position - len(self.files)
        return self.files, position

    def names(self, position: int) -> tuple[str, str]:
        """Return the names of label and image."""
        files, at = self._find(position)
        return files.labels[at], files.images[at]

    def info(self, position: int) -> Any:
        """Return the dataset's own entry."""
        files, at = self._find(position)
        return files.info(at)

    def stamp(self, position: int) -> int:
        """Return a number that changes when label or image are written again; 0 for files of other machines."""
        info = self.info(position)
        return file_stamp(info['seg_map_path'], info.get('img_path'))

    def read(self, start: int, stop: int) -> Records:
        """Return the records of ``[start, stop)``."""
        from .file_reader import FileReader, digest_at
        builder = RecordsBuilder()
        for position in range(start, stop):
            if position < len(self.files):
                FileReader(self, builder, position).read()
            else:
                files, at = self._find(position)
                info, loader = files.info(at), self.other_loaders[int(files.source[at])]
                digest = digest_at(info.get('img_path') or info['seg_map_path'], getattr(loader, 'backend_args', None))
                builder.add(position, b'', digest, stamp=file_stamp(info['seg_map_path'], info.get('img_path')))
        return builder.records()

    def training_table(self, info: Any) -> Array:
        """Return :func:`training_values` for an entry of the dataset."""
        key = bool(info['reduce_zero_label']), info.get('label_map')
        if self._table is None or self._table[0] != key:
            self._table = key, training_values(*key)
        return self._table[1]
