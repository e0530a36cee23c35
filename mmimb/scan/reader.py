"""The files of a scan by position, and the records of a range of them."""
from __future__ import annotations

from typing import Any

from .file_reader import FileReader, look_at
from .image_file import file_stamp
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
        num_classes = len(class_names(dataset))
        ignored = [ignored_label(leaf) if ignore_index is None else ignore_index for leaf in leaves(dataset)]
        self.file_readers = [FileReader(leaf, num_classes, label)
                             for leaf, label in zip(leaves(dataset), ignored, strict=True)]
        self.other_files: LabelFiles | None = None if other is None else label_files(other)
        self.other_loaders = [] if other is None else [image_loader(leaf) for leaf in leaves(other)]
        self.manifest: Manifest = describe(dataset, self.files, [one.chain for one in self.file_readers], split, ignored,
                                           self.other_files, other_split)

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
        """Return the records of ``[start, stop)``; the files of the other split are compared, not counted."""
        builder = RecordsBuilder()
        for position in range(start, stop):
            files, at = self._find(position)
            info, source = files.info(at), int(files.source[at])
            builder.add(position, self.file_readers[source].read(info, files.images[at]) if files is self.files
                        else look_at(info, self.other_loaders[source]))
        return builder.records()
