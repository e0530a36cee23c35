"""Collecting what tables and page show of a scan."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..scan.crops import CropCounts
from ..scan.job import ScanJob
from ..scan.scan import Scan
from .page import PageSource
from .suggest import CHILD, suggest


def present(scan: Scan, report: Path, run: Mapping[str, Any], *, config: str | None = None, job: ScanJob | None = None,
            crops: CropCounts | None = None, child: str | None = None, overrides: Sequence[str] = ()) -> PageSource:
    """Return what tables and page show of a scan.

    Args:
        scan: Counts and findings.
        report: Where its report lies.
        run: When, where and with which versions the files were read.
        config: The config that was scanned, if it is known: a suggested config builds on it.
        job: The scan's job, for example images and what the config holds.
        crops: What batches hold.
        child: Where the suggested config will be written; beside ``config`` under a name that the user changes by default.
        overrides: ``key=value`` with which the config was scanned.
    """
    split = scan.stats.provenance.get('split')
    suggestion = None
    if split == 'train':
        base = {} if config is None else {'base': base_of(config, None if child is None else Path(child))}
        suggestion = suggest(scan.stats, report=str(report), cfg=None if job is None else job.cfg, crops=crops,
                             child=child or CHILD, overrides=overrides, **base)
    title = report.stem if config is None else f'{Path(config).stem}, {split}'
    return PageSource(scan, title, suggestion, None if job is None else job.reader, crops, run)


def base_of(config: str, child: Path | None = None) -> str:
    """Return how a config at ``child`` (default: beside it) names ``config`` as its base."""
    if '::' in config:  # of a package, such as 'mmimb::demo/fast-scnn_demo_ce.py'
        return config
    path = Path(os.path.relpath(config, Path(config).parent if child is None else child.parent)).as_posix()
    return path if path.startswith('../') else f'./{path}'
