"""A scan as the command runs it: built from a config, resumable, and compared with the other split."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .build import build_split, heads_ignore_index
from .crops import CropCounts, count_crops
from .near_duplicates import NearPair, near_duplicates
from .part import Part
from .reader import Reader
from .scan import BadLabelsError, Progress, default_workers, read_files
from .sources import label_files
from .store import Store

OTHER = {'train': 'val', 'val': 'train', 'test': 'train'}


class ScanJob:
    """A scan of one split of a config.

    Args:
        cfg: The config.
        split: ``'train'``, ``'val'`` or ``'test'``.
        out: Path of the report. Until it is written, finished records are kept in ``<out>.parts``.
        shard: ``(i, n)``: only the i-th of n shares.

    Raises:
        ValueError: The dataset cannot be built, is empty, or has no label loading.
    """

    def __init__(self, cfg: Mapping[str, Any], split: str, out: Path, shard: tuple[int, int] = (0, 1)) -> None:
        other = self._other(cfg, split)
        self.cfg, self.shard = cfg, shard
        self.dataset, self.ignore_index = build_split(cfg, split), heads_ignore_index(cfg)
        self.reader = Reader(self.dataset, self.ignore_index, split, other=other, other_split=OTHER[split])
        self.store = Store(out.with_name(f'{out.name}.parts'), self.reader.manifest)

    @staticmethod
    def _other(cfg: Mapping[str, Any], split: str) -> Any:
        """Return the dataset of the split that must share no files with this one; None if it cannot be built."""
        if not cfg.get(f'{OTHER[split]}_dataloader'):
            return None
        try:
            dataset = build_split(cfg, OTHER[split])
            if not len(dataset):
                return None
            label_files(dataset)
            return dataset
        except (ValueError, TypeError, OSError, KeyError, AttributeError, ImportError):  # its own scan tells why
            return None

    def read(self, workers: int | None = None, *, resume: bool = False, progress: Progress | None = None,
             strict: bool = False) -> Part:
        """Read the files; with ``resume`` only those that an earlier scan has not finished.

        Raises:
            BadLabelsError, ValueError, ChildProcessError: As in :func:`mmimb.scan.scan_dataset`.
        """
        if not resume:
            self.store.clear()
        try:
            return read_files(self.reader, workers, self.shard, store=self.store, progress=progress, strict=strict)
        except BadLabelsError:
            self.store.clear()
            raise

    def count_crops(self, per_image: int, seed: int = 0, workers: int | None = None, *,
                    progress: Progress | None = None) -> CropCounts:
        """Count what batches hold, as :func:`mmimb.scan.crops.count_crops` does."""
        return count_crops(self.dataset, per_image, seed, workers=default_workers() if workers is None else workers,
                           ignore_index=self.ignore_index, progress=progress)

    def near_duplicates(self, workers: int | None = None, *, progress: Progress | None = None) -> list[NearPair]:
        """Compare the images with those of the other split, as :func:`mmimb.scan.near_duplicates.near_duplicates` does."""
        return near_duplicates(self.reader, workers=default_workers() if workers is None else workers, progress=progress)
