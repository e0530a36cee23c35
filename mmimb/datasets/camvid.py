"""CamVid with the 11 classes of SegNet, as a dataset of MMSegmentation."""
from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS

VOID = 11


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid in the layout that ``tools/dataset_converters/camvid.py`` writes.

    ``fit.txt`` and ``dev.txt`` divide the training images, whose files stay in the folders of ``train``:
    ``ann_file='fit.txt', data_prefix=dict(img_path='images/train', seg_map_path='annotations/train')``.

    The label files hold 0 to 10 and 11 for void, which becomes 255 here; ``metainfo=dict(classes=(...))`` selects or reorders
    classes as in any dataset of mmseg.
    """

    METAINFO: ClassVar[dict] = {
        'classes': ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian',
                    'Bicyclist'),
        'palette': [[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
                    [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192]],
    }

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """Return the map of file ids to labels: void to 255, and the selection of ``new_classes``."""
        return {**(super().get_label_map(new_classes) or {}), VOID: 255}
