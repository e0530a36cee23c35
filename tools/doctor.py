#!/usr/bin/env python
"""Check the environment: every part is really used, each check in a process that may crash. One page to paste into an issue."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmimb.doctor.isolate import SECONDS, run_checks
from mmimb.doctor.page import to_json, to_page, verdict
from mmimb.engine.errors import one_line_errors
from mmimb.engine.process import run_tool


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog=(
        'exit status: 0 without a failure, 1 with one, 2 for wrong arguments'))
    parser.add_argument('config', nargs='?', help='also check this config: its datasets are built, its losses tried')
    parser.add_argument('--only', nargs='+', metavar='CHECK', help='run these checks alone, by the names that the page has')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    parser.add_argument('--timeout', type=float, default=SECONDS, metavar='SECONDS', help='for one check; default: %(default)g')
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f'\r{done} of {total} checks' if done < total else '\r' + ' ' * 20 + '\r')
            sys.stderr.flush()

    findings = run_checks(args.config, args.only, seconds=args.timeout, progress=progress)
    print((to_json if args.json else to_page)(findings))
    return int(verdict(findings) == 'failure')


if __name__ == '__main__':
    run_tool(main)
