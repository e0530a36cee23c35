"""Image, label, prediction and errors of one class side by side."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .examples import data_uri

Array = npt.NDArray[Any]
FOUND, LOST, FALSE = (96, 176, 64), (60, 60, 230), (20, 160, 250)  # BGR: right, missed, predicted though it is another
VOID = (128, 128, 128)
LEAST_WIDTH = 320  # smaller pictures are enlarged


def picture_panels(image: Array | None, label: Array, predictions: list[Array], c: int, palette: Array) -> list[str]:
    """Return the image, the label, and each prediction with its errors in class ``c``, as ``data:`` URIs; '' for no image.

    Args:
        image: ``(H, W, 3)`` BGR.
        label: ``(H, W)`` classes, -1 without a label.
        predictions: ``(H, W)`` classes each.
        c: The class whose errors are shown.
        palette: ``(C, 3)`` colours, red, green, blue.
    """
    grey = np.full((*label.shape, 3), 230, np.uint8) if image is None else image
    panels = ['' if image is None else _jpeg(image), _png(_colours(label, palette))]
    for pred in predictions:
        panels += [_png(_colours(np.where(label < 0, -1, pred), palette)), _jpeg(_errors(grey, label, pred, c))]
    return panels


def _colours(classes: Array, palette: Array) -> Array:
    colours = np.concatenate([palette[:, ::-1], [VOID]]).astype(np.uint8)
    return colours[classes]  # -1 is the last


def _errors(image: Array, label: Array, pred: Array, c: int) -> Array:
    """Return the image in grey, with the pixels of class ``c`` that are found, lost, and falsely predicted in colours."""
    import cv2
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    out = (grey * 0.5 + 80).astype(np.uint8)
    known = label >= 0
    for mask, colour in ((known & (label == c) & (pred == c), FOUND), (known & (label == c) & (pred != c), LOST),
                         (known & (label != c) & (pred == c), FALSE)):
        out[mask] = colour
    return out


def _enlarged(image: Array) -> Array:
    factor = -(-LEAST_WIDTH // image.shape[1])
    return image if factor <= 1 else np.repeat(np.repeat(image, factor, 0), factor, 1)


def _png(image: Array) -> str:
    import cv2
    return data_uri('png', cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])


def _jpeg(image: Array) -> str:
    import cv2
    return data_uri('jpeg', cv2.imencode('.jpg', _enlarged(image), [cv2.IMWRITE_JPEG_QUALITY, 82])[1])
