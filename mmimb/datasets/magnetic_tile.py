"""Surface defects of magnetic tiles, as a dataset of MMSegmentation."""
from __future__ import annotations

from typing import ClassVar

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS


@DATASETS.register_module()
class MagneticTileDataset(BaseSegDataset):
    """Magnetic tile defects in the layout that ``tools/dataset_converters/magnetic_tile.py`` writes.

    Grey images of many sizes, most of them without a defect; no label is ignored. ``groups.txt`` names the images of one tile:
    they are never in two splits, and are one unit of any interval.
    """

    METAINFO: ClassVar[dict] = {
        'classes': ('background', 'blowhole', 'break', 'crack', 'fray', 'uneven'),
        'palette': [[0, 0, 0], [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48]],
    }
