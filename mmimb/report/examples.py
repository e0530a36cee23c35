"""Example images of the rarest classes, and maps of where in the image a class lies."""
from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..scan.sample_reader import SampleReader
from ..stats import ClassStats, PerImageCounts
from ..stats.imbalance import rarest

Array = npt.NDArray[Any]
EXAMPLE_CLASSES, MAP_CLASSES = 6, 12
MAP_IMAGES = 24  # at most so many are read for a map
GRID = (12, 16)  # rows, columns
WIDTH = 440  # of an example, in pixels
OUTLINE = (255, 64, 255)
TINY = 16


@dataclass(frozen=True)
class Example:
    """An image of a class.

    Args:
        class_index: The class.
        kind: Why this image: ``'largest'`` or ``'typical'`` area of the class.
        file: Name of the label file below the data root.
        pixels: Pixels of the class in it.
        jpeg: The picture as a ``data:`` URI, empty if the image cannot be read.
    """

    class_index: int
    kind: str
    file: str
    pixels: int
    jpeg: str


@dataclass(frozen=True)
class PlaceMap:
    """A map of where a class lies in its images.

    Args:
        class_index: The class.
        share: ``GRID`` shares of its pixels, sum 1.
        num_images: Images that were read for it.
        png: The map as a ``data:`` URI.
    """

    class_index: int
    share: Array
    num_images: int
    png: str


def find_examples(stats: ClassStats, per_image: PerImageCounts, reader: SampleReader) -> list[Example]:
    """Return two images of each of the rarest classes: with its largest area, and with its median area."""
    found: list[Example] = []
    for c in rarest(stats, EXAMPLE_CLASSES):
        rows, pixels = _images_of(per_image, c)
        order = np.argsort(-pixels, kind='stable')
        places = {'largest': order[0], 'typical': order[len(order) // 2]}
        for kind, place in places.items():
            if kind == 'typical' and place == order[0]:
                continue
            row = int(rows[place])
            picture = _draw(reader, row, c)
            found.append(Example(c, kind, per_image.files[row], int(pixels[place]), picture))
    return found


def find_places(stats: ClassStats, per_image: PerImageCounts, reader: SampleReader) -> list[PlaceMap]:
    """Return the maps of the rarest classes, each from at most 24 of its images, evenly spread over the list."""
    import cv2

    classes = rarest(stats, MAP_CLASSES)
    wanted: dict[int, list[int]] = {}
    for c in classes:
        rows = _images_of(per_image, c)[0]
        for row in rows[np.unique(np.linspace(0, len(rows) - 1, MAP_IMAGES).astype(int))]:
            wanted.setdefault(int(row), []).append(c)
    sums = {c: np.zeros(GRID) for c in classes}
    counts = dict.fromkeys(classes, 0)
    for row, members in sorted(wanted.items()):
        labels = reader.labels(row)
        if labels is None:
            continue
        for c in members:
            cells = cv2.resize((labels == c).astype(np.float32), GRID[::-1], interpolation=cv2.INTER_AREA)
            sums[c] += cells / max(cells.sum(), 1e-12)
            counts[c] += 1
    shares = {c: sums[c] / counts[c] for c in classes if counts[c]}
    return [PlaceMap(c, share, counts[c], _map_png(share)) for c, share in shares.items()]


def _images_of(per_image: PerImageCounts, c: int) -> tuple[Array, Array]:
    """Return the rows of the images that hold class ``c``, and its pixels in them."""
    at = np.flatnonzero(per_image.class_index == c)
    return np.searchsorted(per_image.indptr, at, side='right') - 1, per_image.pixels[at]


def _draw(reader: SampleReader, row: int, c: int) -> str:
    """Return the image with class ``c`` outlined and the rest paler, as a ``data:`` URI."""
    import cv2

    image, labels = reader.image(row), reader.labels(row)
    if image is None or labels is None:
        return ''
    size = WIDTH, max(1, round(WIDTH * labels.shape[0] / labels.shape[1]))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    mask = (cv2.resize((labels == c).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.25).astype(np.uint8)
    if not mask.any():  # the class is thinner than a pixel of the small picture
        mask = (cv2.resize((labels == c).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    pale = cv2.addWeighted(image, 0.5, np.full_like(image, 128), 0.5, 0)
    near = cv2.dilate(mask, np.ones((7, 7), np.uint8))
    picture = np.where(near[..., None] > 0, image, pale)
    contours, _ = cv2.findContours(near, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for color, thickness in (((0, 0, 0), 4), (OUTLINE, 2)):
        for contour in contours:
            x, y, width, height = cv2.boundingRect(contour)
            if max(width, height) < TINY:  # too small for an outline: a ring instead
                cv2.circle(picture, (x + width // 2, y + height // 2), TINY, color, thickness, cv2.LINE_AA)
            else:
                cv2.drawContours(picture, [contour], -1, color, thickness)
    return data_uri('jpeg', cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 78])[1])


def _map_png(share: Array) -> str:
    import cv2
    from matplotlib import colormaps
    rgb = colormaps['magma'](share / max(float(share.max()), 1e-12), bytes=True)[..., :3]
    return data_uri('png', cv2.imencode('.png', np.ascontiguousarray(rgb[..., ::-1]))[1])


def data_uri(kind: str, data: Any) -> str:
    """Return the bytes of an image file as a ``data:`` URI."""
    return f'data:image/{kind};base64,{base64.b64encode(bytes(data)).decode()}'
