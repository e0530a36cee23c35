"""Clothing Co-Parsing, as a dataset of MMSegmentation."""
from __future__ import annotations

from typing import ClassVar

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS


@DATASETS.register_module()
class CCPDataset(BaseSegDataset):
    """The 1,004 photos of Clothing Co-Parsing with pixel labels, in the layout that ``tools/dataset_converters/ccp.py`` writes.

    59 classes, ``null`` (77 % of the pixels) among them; no label is ignored. Four classes have no pixel at all.
    """

    METAINFO: ClassVar[dict] = {
        'classes': (
            'null', 'accessories', 'bag', 'belt', 'blazer', 'blouse', 'bodysuit', 'boots', 'bra', 'bracelet', 'cape',
            'cardigan', 'clogs', 'coat', 'dress', 'earrings', 'flats', 'glasses', 'gloves', 'hair', 'hat', 'heels', 'hoodie',
            'intimate', 'jacket', 'jeans', 'jumper', 'leggings', 'loafers', 'necklace', 'panties', 'pants', 'pumps', 'purse',
            'ring', 'romper', 'sandals', 'scarf', 'shirt', 'shoes', 'shorts', 'skin', 'skirt', 'sneakers', 'socks',
            'stockings', 'suit', 'sunglasses', 'sweater', 'sweatshirt', 'swimwear', 't-shirt', 'tie', 'tights', 'top', 'vest',
            'wallet', 'watch', 'wedges'),
    }
