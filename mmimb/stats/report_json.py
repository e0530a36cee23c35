"""Reading the JSON of a report: its format version, its checksum, the errors that its audit found."""
from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1
COUNTS = ('pixels', 'images', 'image_pixels', 'num_images', 'ignored_pixels', 'cooccurrence')


def read_object(path: Path, argument: str, writer: str = '`mmimb scan`') -> dict[str, Any]:
    """Return the JSON object in a file that the tool ``writer`` writes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else, or is of another format version.
    """
    if not path.is_file():
        raise FileNotFoundError(f'`{argument}` must be the path of a report of {writer}, got {str(path)!r} '
                                '(no such file)')
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # JSON, UTF-8
        raise ValueError(f'`{argument}` must be a JSON report, got {str(path)!r} ({error})') from error
    if not isinstance(data, dict):
        raise ValueError(f'`{argument}` must be a JSON report with `pixels`, got {str(path)!r} with a {type(data).__name__}')
    check_version(data, f'`{argument}` {str(path)!r}')
    return data


def check_version(data: Mapping[str, Any], where: str) -> None:
    """Raise a ``ValueError`` for a report of another format version."""
    version = data.get('version', FORMAT_VERSION)
    if version != FORMAT_VERSION or isinstance(version, (bool, float)):
        raise ValueError(f'{where}: `version` must be {FORMAT_VERSION}, got {version!r}; scan again')


def counts_sha256(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the counts of a report."""
    counts = {key: data[key] for key in COUNTS if data.get(key) is not None}
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()


def check_counts(data: Mapping[str, Any], where: str) -> None:
    """Raise a ``ValueError`` if the counts do not fit the checksum ``counts_sha256``; older reports have none."""
    if 'counts_sha256' in data and data['counts_sha256'] != counts_sha256(data):
        raise ValueError(f'{where} must be counts of the same scan, got others than were written '
                         '(`counts_sha256` does not fit); scan again')


def warn_of_errors(data: Mapping[str, Any], where: str) -> None:
    """Warn of a report whose audit found errors: training reads the same files.

    Raises:
        ValueError: The audit is not one of the scanner.
    """
    found = data.get('audit', {})
    try:
        errors = {name: entry['total'] for name, entry in found.items() if entry['severity'] == 'error'}
        total = sum(errors.values())
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{where}: `audit` must be the findings of the scanner, got {str(found)[:80]!r}') from error
    if total:
        warnings.warn(f'{where} was counted with {total} errors in the label files ({", ".join(errors)}); '
                      'its `audit` names them', stacklevel=3)
