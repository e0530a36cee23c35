"""Collecting the counts of every image while evaluating, in arrays that grow by a few bytes per class that occurs."""
from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor

from ..stats.evaluated import EvaluatedCounts, shared_names

COUNTS = ('intersection', 'label', 'prediction')


class ImageCounter:
    """The images that this rank has measured, in the order in which it got them.

    Args:
        num_classes: C, less than 65536.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.paths: list[str] = []
        self._nnz, self._class_index = array('H'), array('H')
        self._counts = {name: array('I') for name in COUNTS}  # an image has fewer than 2**32 pixels

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, path: str, confusion: Tensor) -> None:
        """Add an image with its counts, rows = label, columns = prediction; what is beyond the C classes is left out."""
        counts = np.stack([confusion.diagonal().cpu().numpy(), *(confusion.sum(dim).cpu().numpy() for dim in (1, 0))])
        counts = counts[:, :self.num_classes]
        classes = np.flatnonzero(counts[1] + counts[2])
        self.paths.append(path)
        self._nnz.append(len(classes))
        self._class_index.frombytes(classes.astype(np.uint16).tobytes())
        for name, row in zip(COUNTS, counts, strict=True):
            self._counts[name].frombytes(row[classes].astype(np.uint32).tobytes())

    def gathered(self, confusion: Tensor, images: int) -> EvaluatedCounts:
        """Return the counts of all ranks, in the order of the dataset.

        Args:
            confusion: The matrix of all images of all ranks.
            images: How many of the images of this rank count; what follows is padding.
        """
        stop = sum(self._nnz[:images])
        own = {'paths': self.paths[:images], 'nnz': np.array(self._nnz[:images], np.int64),
               'class_index': np.array(self._class_index[:stop], np.int32),
               **{name: np.array(values[:stop], np.int64) for name, values in self._counts.items()}}
        ranks: list[dict[str, Any]] = all_gather_object(own)
        world_size = get_dist_info()[1]
        positions = np.concatenate([rank + world_size * np.arange(len(part['paths'])) for rank, part in enumerate(ranks)])
        order = np.argsort(positions, kind='stable')
        paths = [path for part in ranks for path in part['paths']]
        nnz = np.concatenate([part['nnz'] for part in ranks])
        starts = np.cumsum(nnz) - nnz
        indptr = np.concatenate([[0], np.cumsum(nnz[order])])
        entries = np.repeat(starts[order] - indptr[:-1], nnz[order]) + np.arange(indptr[-1])
        values = {name: np.concatenate([part[name] for part in ranks])[entries] for name in ('class_index', *COUNTS)}
        return EvaluatedCounts(confusion.numpy().astype(np.int64), indptr.astype(np.int64), **values,
                               files=shared_names([paths[at] for at in order]))
