"""What is wrong with a label file that is no map of class indices, and what mends it."""
from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..stats.npz import Array
from .label_file import JPEG, PNG

SHOWN_COLOURS = 4
PALETTE_TYPE = 3  # colour type of a PNG, at byte 25
INSTANCE_BASES = (256, 1000)  # label * base + instance
LOSSY = 'is a JPEG, which changes values at the edges of classes: write PNG from the original labels'


def is_lossy(data: bytes) -> bool:
    """Whether a label file is a JPEG."""
    return data.startswith(JPEG)


def colours(data: bytes, backend: str, classes: Sequence[str], palette: Any) -> str:
    """Return why a label file loads as several channels.

    Args:
        data: The file.
        backend: Its decoder, one of mmcv's.
        classes: Class names.
        palette: A colour ``(r, g, b)`` of each class, if the dataset has them.
    """
    if backend != 'pillow' and data.startswith(PNG) and data[25:26] == bytes([PALETTE_TYPE]):
        return (f'it is a palette PNG, which {backend} loads as colours: with imdecode_backend=\'pillow\', LoadAnnotations '
                'loads its indices')
    pixels = _rgb(data)
    if pixels is None:
        return 'write class indices in one channel'
    if (pixels == pixels[:, :1]).all():
        return 'its channels are equal: write one of them'
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    names = {tuple(map(int, colour)): name for colour, name in zip(palette or (), classes, strict=False)}
    order = np.argsort(-counts, kind='stable')
    seen = [tuple(found[at].tolist()) for at in order]
    shown = [f'{colour} {names[colour] + " " if colour in names else ""}({counts[at]} pixels)'
             for colour, at in zip(seen[:SHOWN_COLOURS], order, strict=False)]
    more = f' and {len(seen) - SHOWN_COLOURS} more' if len(seen) > SHOWN_COLOURS else ''
    known = sum(colour in names for colour in seen)
    return (f'it holds colours, {", ".join(shown)}{more}; {known} of these {len(seen)} are in the PALETTE of the dataset: write'
            ' the index of the class for each')


def wide(values: Array, num_classes: int, ignore_index: int) -> str:
    """Return what mends values that do not fit 8 bits."""
    if values.dtype.kind in 'iu' and values.min() >= 0:
        for base in INSTANCE_BASES:
            labels = values.astype(np.int64) // base
            if len(np.unique(labels)) > 2 and ((labels < num_classes) | (labels == ignore_index)).all():
                return f'they look like label * {base} + instance: write value // {base}'
    return 'write class indices in 8 bits'


def _rgb(data: bytes) -> Array | None:
    """Return the ``(N, 3)`` pixels of an image, None if it has no colours to show."""
    from PIL import Image
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter('ignore')
            return np.asarray(image.convert('RGB')).reshape(-1, 3)
    except Exception:  # whatever a decoder raises
        return None
