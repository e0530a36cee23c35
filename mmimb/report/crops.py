"""Class shares of whole images and of crops, side by side."""
from __future__ import annotations

from dataclasses import dataclass

from ..scan.crops import CropCounts
from ..stats import ClassStats
from ..stats.imbalance import derive

SHOWN_CROPS = 12  # the rarest classes are shown at first


@dataclass(frozen=True)
class CropRow:
    """A class in whole images and in crops.

    Args:
        class_index: The class.
        before: Its share of the labelled pixels of whole images.
        after: The same of crops.
        factor: The ratio of the two, None for a class that never occurs.
        images: Share of the images that hold it, None if it is not known.
        crops: Share of the crops that hold it.
    """

    class_index: int
    before: float
    after: float
    factor: float | None
    images: float | None
    crops: float


def crop_rows(stats: ClassStats, crops: CropCounts) -> list[CropRow]:
    """Return a row for each class, from most to least frequent in whole images."""
    prior, cropped = derive(stats).prior, sum(crops.pixels)
    rows = []
    for c in stats.order():
        before, after = prior[c], crops.pixels[c] / cropped
        images = stats.images[c] / stats.num_images if stats.images is not None and stats.num_images else None
        rows.append(CropRow(c, before, after, after / before if before else None, images, crops.images[c] / crops.num_crops))
    return rows
