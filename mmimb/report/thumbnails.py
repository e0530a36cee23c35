"""Small pictures beside the findings of an audit: the image, its label in colours, and the other file of a pair."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..scan.findings import FINDINGS
from ..scan.sample_reader import SampleReader
from .examples import data_uri

WIDTH = 200  # pixels
MOST = 6  # of a finding
UNREADABLE = ('missing_image', 'unreadable_image', 'missing_label', 'unlisted_label', 'class_never_seen', 'not_checked')
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Thumb:
    """The pictures of one file of a finding.

    Args:
        pictures: As ``data:`` URIs.
        caption: Names of the files.
    """

    pictures: tuple[str, ...]
    caption: str


def find_thumbnails(audit: Mapping[str, Any], reader: SampleReader) -> dict[str, list[Thumb]]:
    """Return pictures of the first files of every finding that is about files which can be read."""
    shown = {name: entry['files'][:MOST] for name, entry in audit.items() if name not in UNREADABLE}
    wanted = {one.get(key) for entries in shown.values() for one in entries for key in ('file', 'other')}
    places = _positions(reader, wanted - {None})
    found: dict[str, list[Thumb]] = {}
    for name, entries in shown.items():
        for one in entries:
            thumb = _thumb(reader, places, one, labelled=name in FINDINGS and FINDINGS[name].about == 'label')
            if thumb.pictures:
                found.setdefault(name, []).append(thumb)
    return found


def _positions(reader: SampleReader, wanted: set[Any]) -> dict[str, list[int]]:
    """Return where the files of these names are listed, labels or images, those of the other split too."""
    found: dict[str, list[int]] = {}
    if wanted:
        for position in range(reader.reader.manifest.total):
            for name in set(reader.reader.names(position)) & wanted:
                found.setdefault(name, []).append(position)
    return found


def _thumb(reader: SampleReader, places: Mapping[str, list[int]], one: Mapping[str, Any], *, labelled: bool) -> Thumb:
    names = [name for name in (one.get('file'), one.get('other')) if name is not None]
    pictures = []
    for order, name in enumerate(names):
        positions = places.get(name, [])
        if not positions:
            continue
        position = positions[-1] if order else positions[0]  # the other file of a pair may have the same name
        pictures.append(small_jpeg(reader.image(position)))
        if labelled and position < len(reader.reader.files):
            pictures.append(small_jpeg(_in_colours(reader.labels(position))))
    return Thumb(tuple(filter(None, pictures)), ' and '.join(dict.fromkeys(names)))


def small_jpeg(image: Array | None) -> str:
    """Return a small JPEG of an image (BGR) as a ``data:`` URI, nothing for no image."""
    import cv2
    if image is None or 0 in image.shape:
        return ''
    size = WIDTH, max(1, min(4 * WIDTH, round(WIDTH * image.shape[0] / image.shape[1])))
    return data_uri('jpeg', cv2.imencode('.jpg', cv2.resize(image, size, interpolation=cv2.INTER_AREA),
                                         [cv2.IMWRITE_JPEG_QUALITY, 75])[1])


def _in_colours(labels: Array | None) -> Array | None:
    """Return labels in colours that tell values apart; nothing about which value is which."""
    import cv2
    if labels is None:
        return None
    return cv2.applyColorMap(((labels.astype(np.int64) * 47) % 256).astype(np.uint8), cv2.COLORMAP_HSV)
