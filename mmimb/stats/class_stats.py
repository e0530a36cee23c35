"""The one description of class imbalance that scanner, losses, weights, metrics and samplers share."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from pathlib import Path
from typing import Any, Union

import torch
from torch import Tensor

from .known import known_path
from .report_json import check_counts, check_version, read_object, warn_of_errors

REPORT_KEYS = {'version', 'per_image', 'per_image_sha256', 'cooccurrence', 'audit', 'crops', 'counts_sha256',
               'run'}  # besides the fields
StatsSource = Union['ClassStats', Mapping[str, Any], str, Path]


@dataclass(frozen=True)
class ClassStats:
    """Label counts of a training split, per class, as the trainer sees them.

    Args:
        pixels: ``pixels[c]``, labelled pixels of class ``c``.
        images: ``images[c]``, images that contain class ``c``.
        num_images: Images in the split.
        image_pixels: ``image_pixels[c]``, labelled pixels of the images that contain ``c`` (median frequency).
        ignored_pixels: Pixels without a label.
        classes: Class names, in label order.
        provenance: How the counts were made (label settings, split, fingerprint of the file list).

    Only ``pixels`` is always known. :meth:`require` refuses statistics without another field.

    Raises:
        ValueError: A count is negative, lengths differ, or counts contradict each other.
        TypeError: A count is not an integer, or a field has the wrong type.
    """

    pixels: tuple[int, ...]
    images: tuple[int, ...] | None = None
    num_images: int | None = None
    image_pixels: tuple[int, ...] | None = None
    ignored_pixels: int | None = None
    classes: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ('pixels', 'images', 'image_pixels'):
            object.__setattr__(self, name, _counts(name, getattr(self, name), required=name == 'pixels'))
        for name in ('num_images', 'ignored_pixels'):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _count(name, value))
        if self.classes is not None:
            if isinstance(self.classes, str) or not all(isinstance(c, str) for c in self.classes):
                raise TypeError(f'`classes` must be a list of names, got {self.classes!r}')
            object.__setattr__(self, 'classes', tuple(self.classes))
        if not isinstance(self.provenance, Mapping):
            raise TypeError(f'`provenance` must be a mapping, got {self.provenance!r}')
        self._check_consistency()

    def _check_consistency(self) -> None:
        for name in ('images', 'image_pixels', 'classes'):
            value = getattr(self, name)
            if value is not None and len(value) != self.num_classes:
                raise ValueError(f'`{name}` must have one entry per class ({self.num_classes}, as `pixels`), got {len(value)}')
        if sum(self.pixels) == 0:
            raise ValueError('`pixels` must have at least one labelled pixel, got zeros only')
        if self.images is not None:
            for c, (pixels, images) in enumerate(zip(self.pixels, self.images, strict=True)):
                if (pixels == 0) != (images == 0) or pixels < images:
                    raise ValueError(f'`images` must fit `pixels`, got {images} images with {pixels} pixels of class {c}')
            if self.num_images is not None and max(self.images) > self.num_images:
                raise ValueError(f'`num_images` must be at least every entry of `images` (up to {max(self.images)}), '
                                 f'got {self.num_images}')
        if self.image_pixels is not None and any(a < p for a, p in zip(self.image_pixels, self.pixels, strict=True)):
            raise ValueError('`image_pixels` must be at least `pixels` for every class, got a smaller entry')

    @property
    def num_classes(self) -> int:
        return len(self.pixels)

    def require(self, *names: str) -> ClassStats:
        """Return ``self`` if it holds all of ``names``; otherwise raise a ``ValueError`` that says which is missing."""
        for name in names:
            if getattr(self, name) is None:
                published = self.provenance.get('published')
                found = 'None' if published is None else f'the published counts {published!r}, which do not tell it'
                raise ValueError(f'`stats` must hold `{name}` for this use (`mmimb scan` writes all), got {found}')
        return self

    def fit(self, num_classes: int, classes: Sequence[str] | None = None, where: str = 'the model') -> ClassStats:
        """Return ``self`` if it describes these classes; otherwise raise a ``ValueError`` in one line."""
        if self.num_classes != num_classes:
            raise ValueError(f'`stats` must have the {num_classes} classes of {where}, got {self.num_classes}')
        if classes is not None and self.classes is not None and tuple(classes) != self.classes:
            at = next(i for i, (a, b) in enumerate(zip(classes, self.classes, strict=True)) if a != b)
            raise ValueError(f'`stats` must be of the same dataset as {where}: class {at} is {classes[at]!r} there, '
                             f'got statistics with {self.classes[at]!r}')
        return self

    def counts(self, kind: str = 'pixels') -> Tensor:
        """Return the float64 ``(C,)`` counts of ``kind`` ``'pixels'``, ``'images'`` or ``'image_pixels'``."""
        if kind not in ('pixels', 'images', 'image_pixels'):
            raise ValueError(f"`kind` must be 'pixels', 'images' or 'image_pixels', got {kind!r}")
        return torch.tensor(getattr(self.require(kind), kind), dtype=torch.float64)

    def order(self) -> list[int]:
        """Return the class ids from most to least frequent by pixels; ties keep the lower id first."""
        return sorted(range(self.num_classes), key=lambda c: (-self.pixels[c], c))

    def groups(self) -> dict[str, list[int]]:
        """Return ``{'head', 'medium', 'tail'}``: thirds of the classes by pixel frequency, the larger ones first.

        >>> ClassStats(pixels=(9, 1, 4, 7, 2)).groups()
        {'head': [0, 3], 'medium': [2, 4], 'tail': [1]}
        """
        order, third, rest = self.order(), *divmod(self.num_classes, 3)
        first, second = third + (rest > 0), 2 * third + rest
        return {'head': order[:first], 'medium': order[first:second], 'tail': order[second:]}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: what a report and a dumped config hold; entries that are unknown are left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else dict(v) if isinstance(v, Mapping) else v
                for k, v in values.items() if v is not None and v != {}}

    @classmethod
    def load(cls, source: StatsSource) -> ClassStats:
        """Return the statistics of what a config can hold: an instance, a dict with ``pixels``, the path of a report, or
        published counts (``'mmimb::cityscapes'``).

        Raises:
            FileNotFoundError: The report is not there.
            ValueError, TypeError: It is no report, or of another format version, or its counts are wrong; or there are no
                published counts of that name.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, Mapping):
            return cls._from_mapping(source, '`stats`')
        if not isinstance(source, (str, Path)):
            raise TypeError(f'`stats` must be a report path, a ClassStats or a dict with `pixels`, got {source!r}')
        data = read_object(known_path(source) or Path(source), 'stats')
        if 'part' in data:
            raise ValueError(f'`stats` must be a whole report, got {str(source)!r} with a part of one; join all parts with '
                             '`mmimb scan merge`')
        stats = cls._from_mapping(data, f'`stats` {str(source)!r}')
        warn_of_errors(data, f'`stats` {str(source)!r}')
        return stats

    @classmethod
    def _from_mapping(cls, data: Mapping[str, Any], where: str) -> ClassStats:
        check_version(data, where)
        if 'pixels' not in data:
            raise ValueError(f'{where} must have the key `pixels`, got {sorted(map(str, data))}')
        known = {f.name for f in fields(cls)}
        unknown = sorted(str(key) for key in data if key not in known | REPORT_KEYS)
        if unknown:
            raise ValueError(f'{where} must have keys among {", ".join(sorted(known))}, got {unknown[0]!r}')
        check_counts(data, where)
        try:
            return cls(**{k: v for k, v in data.items() if k in known})
        except (ValueError, TypeError) as error:
            raise type(error)(f'{where}: {error}') from error


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'`{name}` must be an integer, got {value!r}')
    if not 0 <= int(value) < 2**63:
        raise ValueError(f'`{name}` must be in [0, 2**63), got {value!r}')
    return int(value)


def _counts(name: str, values: Any, *, required: bool) -> tuple[int, ...] | None:
    if values is None and not required:
        return None
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, '__iter__'):
        raise TypeError(f'`{name}` must be a list of integers, got {values!r}')
    counts = tuple(_count(f'{name}[{c}]', v) for c, v in enumerate(values))
    if not counts:
        raise ValueError(f'`{name}` must have at least one class, got an empty list')
    return counts
