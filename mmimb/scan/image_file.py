"""Size and digest of an image file, without decoding it."""
from __future__ import annotations

import hashlib
import os
import warnings
from typing import Any

WHOLE = 2**15
BLOCK, BLOCKS = 2**13, 4
CHUNK = 2**24
COMPRESSED = (b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff')  # how PNG and JPEG begin
ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
DIGEST = 16


def content_digest(data: bytes) -> bytes:
    """Return a digest of 16 bytes."""
    return hashlib.sha1(data, usedforsecurity=False).digest()[:DIGEST]  # not for security: about twice as fast as other digests


def sample_digest(file: Any) -> bytes:
    """Return the digest of an open file.

    Of a PNG or JPEG above 32 KiB only the size and four blocks are read: two compressed images that differ do not agree in
    all of these. Uncompressed images may, so all their bytes are read.
    """
    size = os.fstat(file.fileno()).st_size
    if size <= WHOLE or not os.pread(file.fileno(), len(COMPRESSED[0]), 0).startswith(COMPRESSED):
        whole = hashlib.sha1(usedforsecurity=False)
        for start in range(0, size, CHUNK):
            whole.update(os.pread(file.fileno(), CHUNK, start))
        return whole.digest()[:DIGEST]
    blocks = [os.pread(file.fileno(), BLOCK, k * (size - BLOCK) // (BLOCKS - 1)) for k in range(BLOCKS)]
    return content_digest(b''.join([size.to_bytes(8, 'little'), *blocks]))


def file_stamp(*paths: str | None) -> int:
    """Return a number that changes with the size or the modification time of a file; 0 if none exists."""
    known = []
    for path in paths:
        try:
            status = None if path is None else os.stat(path)
        except OSError:
            status = None
        known.append(0 if status is None else (status.st_size, status.st_mtime_ns))
    return int.from_bytes(hashlib.blake2b(repr(known).encode(), digest_size=7).digest(), 'little') if any(known) else 0


def loaded_shape(file: Any, loader: Any) -> tuple[int, int] | None:
    """Return height and width of an open image as ``loader`` (a LoadImageFromFile) loads it, from the header.

    None for a format that only OpenCV knows: its header is not read.

    Raises:
        Exception: No decoder knows the file.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            image = Image.open(file)
            orientation = image.getexif().get(ORIENTATION, 1) if 'exif' in image.info else 1
    except Exception:
        import cv2
        if cv2.haveImageReader(file.name):
            return None
        raise
    turned = orientation in TURNED and turns_images(loader)
    return (image.width, image.height) if turned else (image.height, image.width)


def turns_images(loader: Any) -> bool:
    """Whether a LoadImageFromFile rotates an image by its EXIF orientation. Labels are never rotated."""
    import mmcv.image.io as io

    backend = loader.imdecode_backend or io.imread_backend
    return backend in ('cv2', 'pillow') and loader.color_type in ('color', 'grayscale')
