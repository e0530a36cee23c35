"""Check the environment: every part is really used, each check in a process that may crash. One page to paste into an issue."""
from __future__ import annotations

import argparse
import sys

from ..doctor.isolate import SECONDS, run_checks
from ..doctor.page import to_json, to_page, verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config to check as well, and how."""
    parser.epilog = 'exit status: 0 without a failure, 1 with one, 2 for wrong arguments'
    parser.add_argument('config', nargs='?', help='also check this config: its datasets are built, its losses tried')
    parser.add_argument('--only', nargs='+', metavar='CHECK', help='run these checks alone, by the names that the page has')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    parser.add_argument('--timeout', type=float, default=SECONDS, metavar='SECONDS', help='for one check; default: %(default)g')


def run(args: argparse.Namespace) -> int:
    """Print the page; the status tells whether something failed."""
    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f'\r{done} of {total} checks' if done < total else '\r' + ' ' * 20 + '\r')
            sys.stderr.flush()

    findings = run_checks(args.config, args.only, seconds=args.timeout, progress=progress)
    print((to_json if args.json else to_page)(findings))
    return int(verdict(findings) == 'failure')
