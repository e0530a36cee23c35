"""The finished records of a scan on disk, from which a killed scan goes on."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import write_files
from ..stats import npz
from .manifest import Manifest
from .part import ARRAYS, is_of, pack, unpack
from .records import Records

IMAGES = 256  # in one file


class Store:
    """The finished records of one scan in ``folder``, a file for every 256 images; each appears whole or not at all.

    Args:
        folder: Where they are, usually ``<report>.parts``.
        manifest: What is scanned; files of another scan are refused.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest

    def save(self, records: Records) -> None:
        """Write records to a file of their own, named after their first position."""
        path = self.folder / f'{records.positions[0]:09d}.npz'
        write_files({path: pack(records, self.manifest)})

    def load(self, reader: Any) -> list[Records]:
        """Return the finished records, without those of images or labels that have changed since.

        Raises:
            ValueError: The files are of another list or other settings.
        """
        found: list[Records] = []
        taken: set[int] = set()
        for path in self._files():
            try:
                arrays = npz.read(path, ARRAYS)
            except ValueError:
                continue  # damaged: these images are read again
            if not is_of(arrays, self.manifest):
                raise ValueError(f'`resume` must go on with the same files and settings, got {str(self.folder)!r} of another '
                                 'scan; start anew without it')
            records = unpack(arrays, self.manifest)
            positions = set(records.positions.tolist())
            stamps = zip(records.positions.tolist(), records.stamp.tolist(), strict=True)
            if taken.isdisjoint(positions) and all(reader.stamp(position) == stamp for position, stamp in stamps):
                found.append(records)
                taken |= positions
        return found

    def clear(self) -> None:
        """Remove the files, and the folder if nothing else is in it."""
        for path in [*self._files(), *self.folder.glob('.[0-9]*.npz.*.tmp')]:  # the latter: left by a kill while writing
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob('[0-9]*.npz'))
