#!/usr/bin/env python
"""Compare results of tools/test.py: tables, one plain sentence per run, optionally a figure and a CSV file."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmimb.engine.errors import one_line_errors
from mmimb.engine.process import run_tool
from mmimb.printable import printable


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', nargs='+', metavar='NAME=FILE.json[,FILE2.json...]',
                        help='what `tools/test.py --out FILE.json` has written; several files are several seeds')
    parser.add_argument('--out', metavar='FILE.png', help='draw the IoU per class')
    parser.add_argument('--csv', metavar='FILE.csv', help='write all scores')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    with one_line_errors():
        from rich.console import Console

        from mmimb.analysis import csv_text, draw, load_runs, tables, verdict
        from mmimb.files import require_suffix, write_files
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


if __name__ == '__main__':
    run_tool(main)
