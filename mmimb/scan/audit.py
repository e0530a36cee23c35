"""The findings of a report: problems of single files, and those that only the whole list shows, such as duplicates."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..printable import printable
from ..stats import ClassStats
from ..stats.npz import Array
from .crops import CropCounts
from .findings import ERROR, FINDINGS, NOTE, WARNING
from .near_duplicates import NearPair, describe_pair
from .part import Part

LISTED = {ERROR: 10_000, WARNING: 1_000, NOTE: 1_000}  # files that a report names for one finding
Entry = tuple['str | None', str]  # file and detail


def audit(part: Part, pixels: Array) -> dict[str, Any]:
    """Return the findings of a complete part as the report holds them.

    Args:
        part: All records.
        pixels: ``(C,)`` labelled pixels of every class.
    """
    of_list: Mapping[str, Iterator[Entry]] = {
        'in_both_splits': _in_both_splits(part),
        'duplicate_label': _duplicates(part, 'label'),
        'duplicate_image': _duplicates(part, 'image'),
        'unlisted_label': ((name, 'there is no image of this name') for name in part.manifest.unlisted),
        'class_never_seen': ((None, f'class {c}, {part.manifest.classes[c]!r}') for c in np.flatnonzero(pixels == 0)),
        'reduce_zero_label': _reduce_zero_label(part, pixels),
        'only_0_and_255': _only_0_and_255(part),
        'not_checked': ((None, note) for note in part.manifest.notes),
    }
    entries = {name: _entry(name, of_list[name] if name in of_list else _of_files(part, name)) for name in FINDINGS}
    return {name: entry for name, entry in entries.items() if entry['total']}


def _entry(name: str, entries: Iterator[Entry]) -> dict[str, Any]:
    files = [{'file': file, 'detail': detail} for file, detail in islice(entries, LISTED[FINDINGS[name].severity])]
    return {'severity': FINDINGS[name].severity, 'total': len(files) + sum(1 for _ in entries), 'files': files}


def _of_files(part: Part, name: str) -> Iterator[Entry]:
    for problem in part.records.problems:
        if problem.finding == name:
            yield part.name(problem.position, FINDINGS[name].about), problem.detail


def add_crop_findings(found: dict[str, Any], stats: ClassStats, crops: CropCounts) -> None:
    """Add to the findings of a report the classes that crops hold and the counts do not: something was not counted through."""
    classes = stats.classes or tuple(map(str, range(stats.num_classes)))
    entries = ((None, f'class {c}, {classes[c]!r}: {crops.pixels[c]} pixels in {crops.images[c]} of {crops.num_crops} crops')
               for c in range(stats.num_classes) if crops.pixels[c] and not stats.pixels[c])
    _add(found, 'only_in_crops', _entry('only_in_crops', entries))


def add_near_duplicates(found: dict[str, Any], pairs: Sequence[NearPair], other_split: str | None) -> None:
    """Add to the findings of a report the images that nearly equal one of the other split; not those that equal one."""
    equal = {one['file'] for one in found.get('in_both_splits', {}).get('files', ())}
    files = [describe_pair(pair, other_split) for pair in pairs if pair.image not in equal]
    severity = FINDINGS['near_duplicate'].severity
    _add(found, 'near_duplicate', {'severity': severity, 'total': len(files), 'files': files[:LISTED[severity]]})


def _add(found: dict[str, Any], name: str, entry: dict[str, Any]) -> None:
    """Put a finding in its place."""
    if entry['total']:
        merged = {**found, name: entry}
        found.clear()
        found.update({name: merged[name] for name in FINDINGS if name in merged})


def finding_lines(found: Mapping[str, Any]) -> list[str]:
    """Return one line for each listed file, and one for those that are not listed."""
    lines = []
    for name, entry in found.items():
        head = f'{entry["severity"]}: {name}: '
        lines += [printable(head + ': '.join(filter(None, (one['file'], one['detail'])))) for one in entry['files']]
        if entry['total'] > len(entry['files']):
            lines.append(f'{head}and {entry["total"] - len(entry["files"])} more files')
    return lines


def number_of_findings(found: Mapping[str, Any]) -> int:
    """Return the number of errors and warnings; notes do not count."""
    return sum(entry['total'] for entry in found.values() if entry['severity'] != NOTE)


def _groups(digests: Array) -> Iterator[Array]:
    """Yield, for every digest that occurs more than once, its rows. A row of zeros stands for an unread file."""
    rows = np.flatnonzero(digests.any(1))
    keys = np.ascontiguousarray(digests[rows]).view(f'V{digests.shape[1]}').reshape(-1)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = rows[np.argsort(inverse, kind='stable')]
    stops = np.cumsum(counts)
    for at in np.flatnonzero(counts > 1):
        yield order[stops[at] - counts[at]:stops[at]]


def _duplicates(part: Part, about: str) -> Iterator[Entry]:
    """Yield every file that has the content of an earlier one. A file that is listed twice is no duplicate."""
    digests = getattr(part.records, f'{about}_digest')[:part.manifest.listed]
    copies = [(int(row), int(group[0])) for group in _groups(digests) for row in group[1:]]
    for row, first in sorted(copies):
        if part.name(row, about) != part.name(first, about):
            yield part.name(row, about), f'has the content of {part.name(first, about)!r}'


def _in_both_splits(part: Part) -> Iterator[Entry]:
    records, listed = part.records, part.manifest.listed
    shared = [(int(group[0]), int(other)) for group in _groups(records.image_digest)
              if group[0] < listed for other in group[group >= listed][:1]]
    for row, other in sorted(shared):
        about = 'image' if part.images[row] else 'label'
        name = part.name(other, about)
        same = 'is' if name == part.name(row, about) else 'has the content of'
        yield part.name(row, about), f'{same} {name!r} of the {part.manifest.other_split} list'


def _only_0_and_255(part: Part) -> Iterator[Entry]:
    provenance, images = part.manifest.provenance, part.records.raw_images
    as_it_is = provenance['reduce_zero_label'] is False and provenance['label_map'] is None and not provenance.get('transforms')
    if as_it_is and provenance['ignore_index'] == 255 and len(part.manifest.classes) > 1 \
            and np.flatnonzero(images).tolist() == [0, 255]:
        first, second = part.manifest.classes[:2]
        yield None, (f'0 is in {images[0]} labels, 255 in {images[255]}, and nothing else: 255 is ignored, so that training '
                     f'sees {first!r} only; if 255 is {second!r}, write 1 for it in the files, or in a transform after '
                     'LoadAnnotations')


def _reduce_zero_label(part: Part, pixels: Array) -> Iterator[Entry]:
    setting, ignored = part.manifest.provenance['reduce_zero_label'], part.manifest.provenance['ignore_index']
    classes, images, count = len(part.manifest.classes), part.records.raw_images, part.records.raw_pixels
    if not isinstance(setting, bool) or isinstance(ignored, list) or part.manifest.provenance['label_map'] is not None \
            or part.manifest.provenance.get('transforms'):
        return
    values = [v for v in np.flatnonzero(images) if v not in (255, ignored)]
    highest = int(values[-1]) if values else -1
    labels = int(part.records.counted.sum())
    zeros = f'value 0 is in {images[0]} labels ({100 * count[0] / max(count.sum(), 1):.1f} % of the pixels)'
    lossy = sum(problem.finding == 'lossy_label' for problem in part.records.problems)
    most = 2 * images[classes] > labels if classes < 255 else False
    without_0 = classes < 255 and images[classes] > 1 and 20 * images[0] < labels  # the last class may be rare
    beyond = classes != ignored and (most or without_0) and 2 * lossy < labels  # no stray values
    if not setting and beyond:
        yield None, (f'is False, but the labels hold values up to {classes} ({images[classes]} labels, {count[classes]} '
                     f'pixels) where the last of {classes} classes is {classes - 1}, and {zeros}: '
                     'the classes seem to begin at 1')
    if setting and images[0] and highest == classes - 1 and pixels[classes - 1] == 0:
        yield None, (f'is True, which makes 0 ignored and 1 the first of {classes} classes, but the labels hold values up to '
                     f'{highest} only, so that {part.manifest.classes[-1]!r} never occurs, and {zeros}: '
                     'the classes seem to begin at 0')
