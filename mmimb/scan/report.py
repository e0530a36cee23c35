"""The files of a report: a JSON with the sums of a scan, and an .npz with the counts of its images."""
from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import check_writable, write_files
from ..stack import installed_stacks
from ..stats.npz import digest, pack
from ..stats.report_json import FORMAT_VERSION, counts_sha256

if TYPE_CHECKING:
    from .crops import CropCounts
    from .scan import Scan

ORDER = ('version', 'classes', 'pixels', 'images', 'image_pixels', 'num_images', 'ignored_pixels', 'provenance', 'per_image',
         'per_image_sha256', 'cooccurrence', 'audit', 'crops', 'counts_sha256', 'run')


def check_report_path(path: str | Path) -> Path:
    """Return ``path`` if a report can be written there. Asked before a long scan, not after it.

    Raises:
        ValueError: The name does not end in ``.json``, or the file or the ``.npz`` beside it exists and is of no report.
        OSError: The folder is a file, or cannot be written to.
    """
    path = Path(path)
    if path.suffix != '.json' or path.stem == '':
        raise ValueError(f'`out` must end in .json, got {str(path)!r}')
    check_writable('out', path)
    if path.exists() and not _is_report(path):
        raise ValueError(f'`out` must be a new file or a report to replace, got {str(path)!r}, which is neither')
    arrays = path.with_suffix('.npz')
    if arrays.exists() and not _belongs_to_report(arrays):
        raise ValueError(f'`out` must leave other files alone, got {str(path)!r}, beside which lies {arrays.name!r}, '
                         'which is of no report')
    return path


def _is_report(path: Path) -> bool:
    """Whether a file is a report. Any format version counts, because an old report is replaced by scanning again."""
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError):
        return False
    return isinstance(data, dict) and ('pixels' in data or 'part' in data)


def _belongs_to_report(path: Path) -> bool:
    """Whether an ``.npz`` belongs to a report, or a part of one, of any format version."""
    try:
        with zipfile.ZipFile(path) as file:
            return not {'indptr.npy', 'subject.npy'}.isdisjoint(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def write_report(scan: Scan, path: str | Path, run: Mapping[str, Any] | None = None, *,
                 crops: CropCounts | None = None) -> tuple[Path, Path]:
    """Write the JSON at ``path`` and the ``.npz`` beside it; each appears whole or not at all. Returns both paths.

    ``run`` holds what may differ between two scans of the same files (:func:`describe_run`).
    """
    path = Path(path)
    arrays = path.with_suffix('.npz')
    data = {'version': FORMAT_VERSION, **scan.stats.to_dict(), 'per_image': arrays.name,
            'per_image_sha256': digest(scan.per_image.arrays()),
            'cooccurrence': scan.cooccurrence.tolist(), 'audit': scan.audit}
    data = {**data, 'counts_sha256': counts_sha256(data), 'run': dict(run or {})}
    if crops is not None:
        data['crops'] = crops.to_dict()
    lines = [f' {json.dumps(key)}: {json.dumps(data[key], ensure_ascii=False)}' for key in ORDER if key in data]
    text = '{\n' + ',\n'.join(lines) + '\n}\n'
    write_files({arrays: pack(scan.per_image.arrays()), path: text.encode('utf-8', 'backslashreplace')})
    return path, arrays


def describe_run(seconds: float, workers: int | None) -> dict[str, Any]:
    """Return the entry ``run`` of a report: date, host, duration, and versions of the packages that read the files."""
    versions = {'python': platform.python_version()}
    for name in ('numpy', 'pillow', 'opencv-python', 'opencv-python-headless'):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    for packages in installed_stacks().values():
        versions.update(packages)
    return {'date': datetime.now(timezone.utc).isoformat(timespec='seconds'), 'host': platform.node(),
            'seconds': round(seconds, 3), 'workers': workers, 'versions': versions}
