"""A segmentor that predicts class maps straight from the low-resolution logits of its head."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from mmengine.structures import PixelData
from torch import Tensor

from ..dispatch import class_map
from ..functional.resizing import Resizing, Span
from .introspect import last_head

METHODS = ('predict', 'inference', 'whole_inference', 'slide_inference', 'postprocess_result')


class ClassMaps:
    """Within ``with ClassMaps(model):``, the predictions of ``model`` have a ``pred_sem_seg`` as ever, and no ``seg_logits``.

    They are what mmseg predicts, but for pixels where two classes are equal up to rounding (see
    :func:`mmimb.functional.argmax.resized_argmax`): the logits are interpolated to the size of the input, padding is cut off,
    flips are undone, and the rest is interpolated to the size of the image. These are two interpolations in a row, as in mmseg;
    one where the image has the size of the input without its padding. Heads with ``out_channels=1`` are compared with their
    threshold.

    With ``test_cfg.mode='slide'``, an image of one window is predicted like this, and one of windows that do not overlap if it
    is not resized at the end. Scores of windows that overlap must be averaged: these images are predicted as in mmseg, with
    ``seg_logits``, as are calls without ``data_samples``.

    Args:
        model: A segmentor, not wrapped.

    Raises:
        ValueError: It predicts in a way of its own.
    """

    def __init__(self, model: Any) -> None:
        reason = obstacle(model)
        if reason:
            raise ValueError(f'`model` must predict as EncoderDecoder does, got {type(model).__name__} ({reason})')
        self.model = model
        self.head = last_head(model)

    def __enter__(self) -> ClassMaps:
        self.model.predict = self.predict  # of this instance alone
        return self

    def __exit__(self, *exception: object) -> None:
        del self.model.predict

    def predict(self, inputs: Tensor, data_samples: Sequence[Any] | None = None) -> Any:
        """Do as ``EncoderDecoder.predict``."""
        samples = data_samples or []
        views = [_view(sample.metainfo, inputs) for sample in samples]
        rows, columns = _windows(self.model.test_cfg, inputs)
        single = len(rows) == len(columns) == 1
        if not samples or not (single or (_adjoin(rows) and _adjoin(columns) and not any(view.resized for view in views))):
            return type(self.model).predict(self.model, inputs, data_samples)
        if single:
            logits, size = self._logits(inputs, samples)
            maps = [self._classes(image.unsqueeze(0), view.after(size, self.head.align_corners))[0]
                    for image, view in zip(logits, views, strict=True)]
        else:
            parts = [torch.cat([self._window(inputs[..., y, x], samples) for x in columns], 2) for y in rows]
            maps = [view.of(classes) for classes, view in zip(torch.cat(parts, 1), views, strict=True)]
        for sample, classes in zip(samples, maps, strict=True):
            sample.set_data({'pred_sem_seg': PixelData(data=classes.unsqueeze(0))})
        return samples

    def _window(self, inputs: Tensor, samples: Sequence[Any]) -> Tensor:
        """Return the ``(N, H, W)`` classes of a part of the images."""
        logits, size = self._logits(inputs, samples)
        return self._classes(logits, Resizing(size, self.head.align_corners))

    def _logits(self, inputs: Tensor, samples: Sequence[Any]) -> tuple[Tensor, tuple[int, int]]:
        """Return the logits of images as the head makes them, and the height and width that mmseg resizes them to."""
        metas = [dict(sample.metainfo) for sample in samples]
        if self.model.test_cfg.get('mode') == 'slide':
            metas[0]['img_shape'] = inputs.shape[2:]
        with _unresized(self.head) as kept:
            logits = self.model.encode_decode(inputs, metas)
        if kept and kept[-1] is logits:
            alike = torch.empty(logits.shape, device='meta')
            height, width = type(self.head).predict_by_feat(self.head, alike, metas).shape[2:]
        else:  # the head has resized them in its own way
            height, width = logits.shape[2:]
        return logits, (height, width)

    def _classes(self, logits: Tensor, resizing: Resizing) -> Tensor:
        if logits.shape[1] > 1:
            return class_map(logits, resizing)
        probability = resizing(logits)[:, 0].sigmoid_()
        return (probability > self.head.threshold).to(probability)


def obstacle(model: Any) -> str:
    """Return why a segmentor cannot be within :class:`ClassMaps`; nothing if it can."""
    from mmseg.models import EncoderDecoder
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    if not isinstance(model, EncoderDecoder):
        return 'it is no EncoderDecoder'
    own = [name for name in METHODS if getattr(type(model), name) is not getattr(EncoderDecoder, name)]
    if own:
        return f'it has its own {own[0]}'
    head = last_head(model)
    if getattr(type(head), 'predict_by_feat', None) is not BaseDecodeHead.predict_by_feat:
        return f'its {type(head).__name__} has its own predict_by_feat'
    return ''


@dataclass(frozen=True)
class _View:
    """Which part of the input an image is, and how."""

    cut: tuple[Span, Span]
    flip: tuple[int, ...]
    size: tuple[int, int]  # of the part
    image: tuple[int, int]

    @property
    def resized(self) -> bool:
        return self.size != self.image

    def after(self, size: tuple[int, int], align_corners: bool) -> Resizing:
        """Return the way of the logits to the image, given the size of the input."""
        return Resizing(size, align_corners, self.cut, self.flip, self.image)

    def of(self, classes: Tensor) -> Tensor:
        """Return the part of an ``(H, W)`` map."""
        rows, columns = (slice(*span) for span in self.cut)
        return classes[rows, columns].flip([axis - 2 for axis in self.flip])


def _view(meta: Mapping[str, Any], inputs: Tensor) -> _View:
    """Return what mmseg's ``postprocess_result`` does to an image."""
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', [0] * 4))
    height, width = inputs.shape[2:]
    cut = (top, height - bottom), (left, width - right)
    flip = ({'horizontal': 3, 'vertical': 2}[meta['flip_direction']], ) if meta.get('flip') else ()
    return _View(cut, flip, (height - bottom - top, width - right - left), (meta['ori_shape'][0], meta['ori_shape'][1]))


def _windows(test_cfg: Any, inputs: Tensor) -> tuple[list[slice], list[slice]]:
    """Return the rows and columns of mmseg's windows; a single one without windows."""
    height, width = inputs.shape[2:]
    if test_cfg.get('mode') != 'slide':
        return [slice(0, height)], [slice(0, width)]
    grid = []
    for size, crop, stride in zip((height, width), test_cfg['crop_size'], test_cfg['stride'], strict=True):
        count = max(size - crop + stride - 1, 0) // stride + 1
        stops = [min(i * stride + crop, size) for i in range(count)]
        grid.append([slice(max(stop - crop, 0), stop) for stop in stops])
    return grid[0], grid[1]


def _adjoin(windows: Sequence[slice]) -> bool:
    """Return whether windows follow each other without overlap."""
    return all(first.stop == second.start for first, second in pairwise(windows))


@contextmanager
def _unresized(head: Any) -> Iterator[list[Tensor]]:
    """Have a head predict its logits as they are; the list holds what it did."""
    kept: list[Tensor] = []

    def predict_by_feat(logits: Tensor, metas: Any) -> Tensor:
        kept.append(logits)
        return logits

    head.predict_by_feat = predict_by_feat
    try:
        yield kept
    finally:
        del head.predict_by_feat
