"""Compare results of tests: tables, one plain sentence per run, optionally a figure and a CSV file."""
from __future__ import annotations

import argparse
from pathlib import Path

from ..printable import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the results and where to write."""
    parser.add_argument('runs', nargs='+', metavar='NAME=FILE.json[,FILE2.json...]',
                        help='what `mmimb test --out FILE.json` has written; several files are several seeds')
    parser.add_argument('--out', metavar='FILE.png', help='draw the IoU per class')
    parser.add_argument('--csv', metavar='FILE.csv', help='write all scores')


def run(args: argparse.Namespace) -> int:
    """Write the files, print the tables."""
    from rich.console import Console

    from ..analysis import csv_text, draw, load_runs, tables, verdict
    from ..files import require_suffix, write_files
    require_suffix('--out', args.out, '.png')
    require_suffix('--csv', args.csv, '.csv')
    runs = load_runs(args.runs)
    files: dict[Path, bytes] = {}
    if args.out:
        files[Path(args.out)] = draw(runs)
    if args.csv:
        files[Path(args.csv)] = csv_text(runs).encode()
    write_files(files)
    for table in tables(runs):
        width = Console(width=10_000).measure(table).maximum  # a narrow terminal must not cut numbers
        Console(width=width).print(table)
    print(*verdict(runs), sep='\n\n')
    for path in files:
        print(f'\nwrote {printable(path)}')
    return 0
