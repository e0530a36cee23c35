"""Join parts of one scan, in any order."""
from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..stack import require_stack
from .scan_outputs import STATUSES, add_outputs, read_scheme_option, status_of_findings, write_outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the parts and the outputs."""
    parser.epilog = STATUSES
    parser.add_argument('parts', nargs='+', help='what --shard, --launcher or merge wrote')
    parser.add_argument('--out', metavar='FILE.json', required=True, help='the report; a larger part while images are missing')
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Join the parts, and write the report, or a larger part."""
    require_stack()
    scheme = read_scheme_option(args)
    return status_of_findings(lambda: merge(args, scheme))


def merge(args: argparse.Namespace, scheme: tuple[str, dict] | None) -> int:
    """Read, join and write. Returns the exit status."""
    from ..scan.part import join_parts, read_part
    from ..scan.report import check_report_path

    out = check_report_path(args.out)
    begin = time.perf_counter()
    part = join_parts([read_part(Path(path)) for path in args.parts])
    return write_outputs(part, out, args, scheme, time.perf_counter() - begin)
