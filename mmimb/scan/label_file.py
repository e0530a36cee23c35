"""Decoding a label file as mmseg's LoadAnnotations does, but before its values are cut to uint8."""
from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any, NamedTuple

import numpy as np

from ..stats.npz import Array
from .counting import value_counts

PNG = b'\x89PNG\r\n\x1a\n'
JPEG = b'\xff\xd8\xff'
HEADER = struct.Struct('>IIBBBBB')  # IHDR of a PNG
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by its colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # first, step
PART = 2**16


class RawLabel(NamedTuple):
    """What a label file holds.

    Args:
        values: Distinct values, ascending, of the file's own type.
        counts: Their pixels, int64.
        shape: Of the array that LoadAnnotations makes of it, axes of length 1 dropped.
        ended: Whether its last pixel is known to have been in the file; decoders make 0 of what is missing.
    """

    values: Array
    counts: Array
    shape: tuple[int, ...]
    ended: bool = False


def decode(data: bytes, backend: str) -> RawLabel:
    """Decode a label file with ``backend``, one of mmcv's.

    With Pillow, the default of LoadAnnotations, images of 8 bits are counted without a copy of their pixels.

    Raises:
        Exception: Whatever the decoder raises.
    """
    if backend == 'pillow':
        from PIL import Image
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter('ignore')
            if image.mode in ('L', 'P'):
                image.load()
                counts = np.array(image.histogram(), np.int64)
                values = np.flatnonzero(counts)
                ended = image.getpixel((image.width - 1, image.height - 1)) != 0 and not image.info.get('interlace')
                return RawLabel(values.astype(np.uint8), counts[values], _squeezed((image.height, image.width)), ended)
            array = np.array(image)
    else:
        from mmcv import imfrombytes
        array = imfrombytes(data, flag='unchanged', backend=backend)
    if array is None or array.size == 0:
        raise ValueError('no pixels')
    shape = _squeezed(array.shape)
    if len(shape) != 2:
        return RawLabel(array.reshape(-1)[:0], np.zeros(0, np.int64), shape)
    return RawLabel(*value_counts(array), shape)


def training_values(reduce_zero_label: bool, label_map: Any) -> Array:
    """Return the uint8 ``(256,)`` table that maps a value of the file to the label that training sees."""
    table = np.arange(256, dtype=np.uint8)
    if reduce_zero_label:
        table[0] = 255
        table = table - 1
        table[table == 254] = 255
    if label_map is not None:
        before = table.copy()
        for old, new in label_map.items():
            table[before == old] = new
    return table


def damage(data: bytes) -> tuple[str, str] | None:
    """Return the finding if a PNG or JPEG is cut short or has a wrong checksum, which some decoders ignore; otherwise None."""
    if data.startswith(JPEG):
        ended = b'\xff\xd9' in data[-64:]
        return None if ended else ('truncated_label', f'ends after {len(data)} bytes without its end marker')
    if not data.startswith(PNG):
        return None
    view, at = memoryview(data), len(PNG)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(view[at:at + 4], 'big'), bytes(view[at + 4:at + 8])
        end = at + 12 + size
        if end > len(data):
            break
        if zlib.crc32(view[at + 4:end - 4]) != int.from_bytes(view[end - 4:end], 'big'):
            return 'damaged_label', f'has a wrong checksum in its chunk {kind.decode("latin-1")!r} at byte {at}'
        if kind == b'IEND':
            return None
        at = end
    return 'truncated_label', f'ends after {len(data)} bytes without its last chunk'


def missing_pixels(data: bytes) -> tuple[str, str] | None:
    """Return the finding and its detail if a sound PNG ends before its pixels do, which decoders fill with zeros in silence."""
    if not data.startswith(PNG) or len(data) < HEADER.size + 16:
        return None
    width, height, depth, colour, _, _, interlace = HEADER.unpack_from(data, 16)
    bits = CHANNELS.get(colour, 0) * depth
    passes = ADAM7 if interlace else ((0, 0, 1, 1), )
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes if x < width and y < height]
    wanted = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes)
    found = _unpacked_bytes(data, wanted)
    if bits == 0 or found >= wanted:
        return None
    what = f'{100 * found / wanted:.0f} % of the pixels' if interlace else f'{found * height // wanted} of {height} rows'
    return 'truncated_label', f'holds {what}; the others are read as 0'


def _unpacked_bytes(data: bytes, most: int) -> int:
    """Return how many bytes the pixels of a PNG unpack to, or at least ``most``; a part at a time, for it may be any number."""
    unpacker, found, at = zlib.decompressobj(), 0, len(PNG)
    while at + 12 <= len(data) and found < most:
        size, kind = int.from_bytes(data[at:at + 4], 'big'), data[at + 4:at + 8]
        part = data[at + 8:at + 8 + size] if kind == b'IDAT' else b''
        try:
            while part and found < most and not unpacker.eof:
                found += len(unpacker.decompress(part, PART))
                part = unpacker.unconsumed_tail
        except zlib.error:
            break
        at += 12 + size
    return found


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
