"""What the scanner's report says about how often training saw each class."""
from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..stats import ClassStats, PerImageCounts

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
    data = json.loads(Path(report).read_text(encoding='utf-8'))
    crops = data.get('crops')
    flawed = _flawed(Path(report), data) if data.get('audit') else [(0, '')] * stats.num_classes
    total = sum(stats.pixels)
    return [TrainingFacts(
        pixels=pixels, share=pixels / total, images=None if stats.images is None else stats.images[c],
        num_images=stats.num_images, crop_share=crops['images'][c] / crops['num_crops'] if crops else None,
        findings=flawed[c][0], example=flawed[c][1]) for c, pixels in enumerate(stats.pixels)]


def _flawed(report: Path, data: dict[str, Any]) -> list[tuple[int, str]]:
    """Return how many images of each class the audit has something about, and one of these findings.

    A finding about an image is given to the label of the same name.
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
    stems = {_stem(file): text for file, text in by_file.items()}
    rows = [row for row, file in enumerate(per_image.files) if file in by_file or _stem(file) in stems]
    found = []
    for c in classes:
        of_class = [row for row in rows
                    if c in per_image.class_index[per_image.indptr[row]:per_image.indptr[row + 1]]]
        first = per_image.files[of_class[0]] if of_class else ''
        found.append((len(of_class), by_file.get(first) or stems.get(_stem(first), '')))
    return found


def _stem(file: str) -> str:
    return posixpath.splitext(posixpath.basename(file))[0]
