"""The findings as one page for a terminal and for an issue, and as JSON."""
from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from ..printable import printable
from .check import FAILURE, OK, WARNING, Finding

SHOWN = {OK: 'ok', WARNING: 'warning', FAILURE: 'FAILURE'}
PACKAGES = ('torch', 'torchvision', 'triton', 'numpy', 'pillow', 'opencv-python', 'opencv-python-headless', 'onedl-mmengine',
            'onedl-mmcv', 'onedl-mmsegmentation', 'mmengine', 'mmcv', 'mmcv-lite', 'mmsegmentation', 'mmdet',
            'onedl-mmdetection', 'matplotlib', 'tensorboard')
WIDTH = 118


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst status."""
    return max((finding.status for finding in findings), key=[OK, WARNING, FAILURE].index, default=OK)


def to_page(findings: Sequence[Finding]) -> str:
    """Return the page, between fences as an issue on GitHub shows text unchanged; the home folder becomes ``~``."""
    counts = {status: sum(finding.status == status for finding in findings) for status in (FAILURE, WARNING)}
    head = ', '.join(f'{count} {status}{"s" * (count > 1)}' for status, count in counts.items() if count) or 'all is well'
    width = max((len(finding.name) for finding in findings), default=0)
    indent = ' ' * (len('FAILURE') + width + 4)
    lines = ['```text', f'mmimb doctor: {head}', '']
    for finding in findings:
        text = f'{SHOWN[finding.status]:<7}  {finding.name:<{width}}  {finding.text}'
        lines += textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        if finding.fix:
            lines.append(f'{indent}fix: {finding.fix}')
    packages = ', '.join(f'{name} {number}' for name, number in versions().items())
    lines += ['', *textwrap.wrap(f'installed: {packages}', WIDTH, break_long_words=False, break_on_hyphens=False), '```']
    return _without_home('\n'.join(map(printable, lines)))


def to_json(findings: Sequence[Finding]) -> str:
    """Return the same for programs."""
    data = {'status': verdict(findings), 'checks': [asdict(finding) for finding in findings], 'installed': versions()}
    return _without_home(json.dumps(data, indent=1, ensure_ascii=False))


def versions() -> dict[str, str]:
    """Return what is installed of the packages that matter."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except (PackageNotFoundError, KeyError):  # a damaged entry
            continue
    return found


def _without_home(text: str) -> str:
    home = os.path.expanduser('~')
    return text.replace(home + os.sep, '~' + os.sep) if len(home) > 1 else text
