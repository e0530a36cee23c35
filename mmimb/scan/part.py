"""A part of a scan: the records of some files. Parts can be joined; all parts together give the report."""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_files
from ..stats import npz
from ..stats.npz import Array
from ..stats.report_json import FORMAT_VERSION, read_object
from .findings import FINDINGS
from .manifest import Manifest
from .names import Names
from .records import COLUMNS, DIGESTS, ENTRIES, TOTALS, Problem, Records, join

RECORDS = (*COLUMNS, *DIGESTS, *ENTRIES, *TOTALS)
ARRAYS = (*RECORDS, 'problems', 'subject')  # of an .npz


@dataclass(frozen=True)
class Part:
    """Records of some positions, and the names of their files."""

    manifest: Manifest
    records: Records
    labels: Names
    images: Names

    @property
    def complete(self) -> bool:
        """Whether it holds every file of the list."""
        return len(self.records) == self.manifest.total

    def name(self, row: int, about: str) -> str:
        """Return the file of a row that a finding is ``about``."""
        return (self.images if about == 'image' else self.labels)[row]


def join_parts(parts: Sequence[Part]) -> Part:
    """Return the union of parts, given in any order.

    Raises:
        ValueError: Two hold the same image, or they are of different scans.
    """
    first = parts[0].manifest.to_dict()
    for part in parts[1:]:
        other = part.manifest.to_dict()
        for key in first:
            if other[key] != first[key]:
                raise ValueError(f'parts must be of one scan, got different {_difference(key, first[key], other[key])}')
    rows = np.argsort(np.concatenate([part.records.positions for part in parts]), kind='stable')
    records = join([part.records for part in parts])
    labels = [name for part in parts for name in part.labels]
    images = [name for part in parts for name in part.images]
    return Part(parts[0].manifest, records, Names.of(labels[row] for row in rows), Names.of(images[row] for row in rows))


def write_part(part: Part, path: Path, run: dict[str, Any]) -> tuple[Path, Path]:
    """Write the JSON of a part at ``path`` and its arrays beside it; each appears whole or not at all. Returns both paths."""
    arrays = path.with_suffix('.npz')
    data = {'version': FORMAT_VERSION, 'part': part.manifest.to_dict(), 'images': len(part.records), 'records': arrays.name,
            'run': run}
    packed = pack(part.records, part.manifest, label_names=part.labels.data, image_names=part.images.data)
    write_files({arrays: packed, path: (json.dumps(data, indent=1) + '\n').encode()})
    return path, arrays


def read_part(path: Path) -> Part:
    """Read what :func:`write_part` wrote.

    Raises:
        FileNotFoundError: One of the two files is not there.
        ValueError: They are no part of a scan, or cut or changed.
    """
    data = read_object(path, 'part')
    if 'part' not in data:
        what = 'a whole report' if 'pixels' in data else f'the keys {sorted(data)}'
        raise ValueError(f'`part` must be what `--shard` or `--launcher` writes, got {str(path)!r} with {what}')
    try:
        manifest = Manifest(**{f.name: _tuple(data['part'][f.name]) for f in fields(Manifest)})
        arrays = npz.read(path.parent / Path(data['records']).name, (*ARRAYS, 'label_names', 'image_names'))
        if not is_of(arrays, manifest):
            raise ValueError('its arrays are of another scan')
        records = unpack(arrays, manifest)
        part = Part(manifest, records, Names(arrays['label_names']), Names(arrays['image_names']))
        if not len(part.labels) == len(part.images) == len(records) == data['images']:
            raise ValueError(f'names of {len(part.labels)} labels and {len(part.images)} images with {len(records)} records')
    except FileNotFoundError:
        raise
    except Exception as error:  # a changed file can raise nearly anything
        raise ValueError(f'`part` must be what the scanner wrote, got {str(path)!r} ({error})') from error
    return part


def pack(records: Records, manifest: Manifest, **more: Array) -> bytes:
    """Return the bytes of an ``.npz`` with the records of a scan, and ``more`` arrays."""
    texts = {'problems': json.dumps(records.problems), 'subject': manifest.digest()}
    encoded = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    return npz.pack({**records.arrays(), **encoded, **more})


def is_of(arrays: dict[str, Array], manifest: Manifest) -> bool:
    """Whether the arrays of an ``.npz`` were packed in a scan of this manifest."""
    return arrays['subject'].tobytes() == manifest.digest().encode()


def unpack(arrays: dict[str, Array], manifest: Manifest) -> Records:
    """Return the records of an ``.npz``, checked.

    Raises:
        ValueError, TypeError: They are not of this scan.
    """
    problems = tuple(Problem(*row) for row in json.loads(arrays['problems'].tobytes()))
    records = Records(**{name: arrays[name] for name in RECORDS}, problems=problems)
    records.check(manifest.total, len(manifest.classes))
    here = set(records.positions.tolist())
    if any(p.position not in here or p.finding not in FINDINGS or not isinstance(p.detail, str) for p in problems):
        raise ValueError('records must have problems of their own files, got others')
    return records


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _difference(key: str, first: Any, second: Any) -> str:
    if isinstance(first, dict) and isinstance(second, dict):
        key = next(k for k in {**first, **second} if first.get(k) != second.get(k))
        first, second = first.get(key), second.get(key)
    texts = [text if len(text) < 80 else f'{text[:77]}...' for text in (repr(first), repr(second))]
    return f'`{key}`: {texts[0]} and {texts[1]}'
