"""What the scanner's report says about how often training saw each class."""
from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..stats import ClassStats, PerImageCounts
from ..stats.known import known_path
from ..stats.report_json import read_object

SERIOUS = ('error', 'warning')  # severities of findings


@dataclass(frozen=True)
class TrainingFacts:
    """A class in the training split.

    Args:
        pixels: Labelled pixels.
        share: Of all labelled pixels.
        images: Images that hold it, None if that is not known.
        num_images: Images of the split, None if that is not known.
        crop_share: Share of the crops that hold it, None where crops were not counted.
        findings: Images that hold it and that the audit has a finding about; 0 where it is not known.
        example: A finding about one of them, empty without one.
    """

    pixels: int
    share: float
    images: int | None
    num_images: int | None
    crop_share: float | None
    findings: int
    example: str


def training_facts(report: str | Path) -> list[TrainingFacts]:
    """Return the facts of every class, in label order, from a report of ``mmimb scan`` on the training split.

    Raises:
        FileNotFoundError: There is no such report.
        ValueError: It is none, or is damaged.
    """
    stats = ClassStats.load(report)
    data = read_object(known_path(report) or Path(report), 'report')
    crops = data.get('crops')
    flawed = _flawed(Path(report), data) if data.get('audit') else [(0, '')] * stats.num_classes
    total = sum(stats.pixels)
    return [TrainingFacts(
        pixels=pixels, share=pixels / total, images=None if stats.images is None else stats.images[c],
        num_images=stats.num_images, crop_share=crops['images'][c] / crops['num_crops'] if crops else None,
        findings=flawed[c][0], example=flawed[c][1]) for c, pixels in enumerate(stats.pixels)]


def _flawed(report: Path, data: dict[str, Any]) -> list[tuple[int, str]]:
    """Return how many images of each class the audit has something about, and one of these findings.

    A finding about an image is given to every label of the same name without suffix, in whichever folder.
    """
    classes = range(len(data['pixels']))
    try:
        per_image = PerImageCounts.load(report)
    except FileNotFoundError:  # the JSON alone was copied
        return [(0, '')] * len(classes)
    by_file: dict[str, str] = {}
    for name, entry in data['audit'].items():
        for one in entry['files'] if entry['severity'] in SERIOUS else ():
            if one['file'] is not None:
                by_file.setdefault(one['file'], f'{name}: {one["file"]} {one["detail"]}')
    labels = set(per_image.files)
    stems = {_stem(file): text for file, text in by_file.items() if file not in labels}  # findings about images
    texts = [by_file.get(file) or stems.get(_stem(file), '') for file in per_image.files]
    row_of = np.repeat(np.arange(len(texts)), np.diff(per_image.indptr))
    flawed = np.array([bool(text) for text in texts], bool)[row_of]
    of_class = [row_of[flawed & (per_image.class_index == c)] for c in classes]
    return [(len(rows), texts[rows[0]] if len(rows) else '') for rows in of_class]


def _stem(file: str) -> str:
    return posixpath.splitext(posixpath.basename(file))[0]
