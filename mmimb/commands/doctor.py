"""Check the environment: every part is really used, each check in a process that may crash. One page to paste into an issue."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from ..doctor.check import Finding
from ..doctor.isolate import SECONDS, run_checks
from ..doctor.page import to_json, to_page, verdict
from ..engine.progress import Lines
from .next_line import print_first, print_next


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config to check as well, and how."""
    parser.epilog = 'exit status: 0 without a failure, 1 with one, 2 for wrong arguments'
    parser.add_argument('config', nargs='?', help='also check this config: its datasets are built, its losses tried')
    parser.add_argument('--only', nargs='+', metavar='CHECK', help='run these checks alone, by the names that the page has')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    parser.add_argument('--timeout', type=float, default=SECONDS, metavar='SECONDS', help='for one check; default: %(default)g')


def run(args: argparse.Namespace) -> int:
    """Print the page; the status tells whether something failed."""
    findings = run_checks(args.config, args.only, seconds=args.timeout, progress=show_progress())
    print((to_json if args.json else to_page)(findings))
    if not args.json:
        say_next(findings, args.config)
    return int(verdict(findings) == 'failure')


def show_progress() -> Callable[[int, int, str], None]:
    """Return what shows how far the checks are."""
    if not sys.stderr.isatty():
        return Lines('check')

    def progress(done: int, total: int, name: str) -> None:
        text = f'{done} of {total} checks' + (f', now: {name}' if name else '')
        sys.stderr.write(f'\r{text:<60}' if done < total else f'\r{"":<60}\r')
        sys.stderr.flush()
    return progress


def say_next(findings: Sequence[Finding], config: str | None) -> None:
    """Say what to mend first, or what the sound environment is used for."""
    bad = [finding for status in ('failure', 'warning') for finding in findings if finding.status == status and finding.fix]
    if bad:
        print_first(f'{bad[0].name}: {bad[0].fix}')
    if any(finding.status == 'failure' for finding in bad):
        print_next('mmimb', 'doctor', *([config] if config else []))
    elif config:
        print_next('mmimb', 'train', config)
    else:
        print_next('mmimb', 'demo')
