"""Compare runs: paired differences with intervals, tables (Markdown, CSV, LaTeX), a figure, a plain sentence per run.

  mmimb compare work_dirs/study                                  all runs below a folder, those of one config are seeds
  mmimb compare 'ce=work_dirs/ce_*' 'weights=work_dirs/if_*'     under names of your own
  mmimb compare ce=ce/metrics.json tuned=tuned/metrics.json      results of `mmimb test --out`

Of a folder it takes metrics.json, the result of a test; without one, the last validation of scalars.json, of runs that are
still going, too. Differences are to the first name (or --base), between runs of the same seed, with 95 % intervals over the
seeds, and over the images where the tests have kept counts per image.
"""
from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

from ..printable import printable
from .next_line import print_next

ENOUGH = 5  # seeds below which more are asked for
FIGURES = ('.png', '.pdf', '.svg')
WIDTH = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs and where to write."""
    parser.add_argument('runs', nargs='+', metavar='RUNS', help='work folder or glob; NAME=FOLDER[,FOLDER2...]; or '
                        'NAME=FILE.json[,FILE2.json...] as `mmimb test --out FILE.json` has written them, one per seed')
    parser.add_argument('--base', metavar='NAME', help='the name that the others are compared with (default: the first)')
    parser.add_argument('--val', action='store_true', help='compare the last validations, although there are tests')
    parser.add_argument('--groups', metavar='FILE', help='names of images that belong together, a group per line: they are '
                        'drawn together for the intervals over images')
    parser.add_argument('--blocks', type=int, metavar='N', help='N images in a row belong together, as frames of a video do')
    parser.add_argument('--out', metavar='FILE.png', help='draw the IoU per class and the differences (.png, .pdf or .svg)')
    parser.add_argument('--markdown', metavar='FILE.md', help='write the tables in Markdown')
    parser.add_argument('--latex', metavar='FILE.tex', help='write the tables in LaTeX (package booktabs)')
    parser.add_argument('--csv', metavar='FILE.csv', help='write all scores, differences and intervals')


def run(args: argparse.Namespace) -> int:
    """Write the files, print the tables."""
    from ..analysis import compare_runs, load, tables, verdict
    from ..files import require_suffix, write_files
    for name, suffix in {'out': FIGURES, 'markdown': '.md', 'latex': '.tex', 'csv': '.csv'}.items():
        require_suffix(f'--{name}', getattr(args, name), suffix)
    runs, notes = load(args.runs, validation=args.val, base=args.base)
    found = compare_runs(runs, groups=args.groups, blocks=args.blocks)
    grids = tables(runs, found)
    sentences = [printable(line) for line in notes] + verdict(runs, found)
    files = _files(args, runs, found, grids, sentences)
    write_files(files)
    _print_tables(grids)
    print()
    print(*(textwrap.fill(line, WIDTH, subsequent_indent='  ', break_on_hyphens=False) for line in sentences), sep='\n\n')
    for path in files:
        print(f'\nwrote {printable(path)}')
    say_next(args, min(len(run.seeds) for run in runs))
    return 0


def say_next(args: argparse.Namespace, seeds: int) -> None:
    """Say how to get more seeds, or the tables in a file."""
    if seeds < ENOUGH:
        folder = ['--work-dir', *args.runs] if len(args.runs) == 1 and Path(args.runs[0]).is_dir() else []
        print_next('mmimb', 'train', 'CONFIG', 'OTHER_CONFIG', '--seeds', f'0-{ENOUGH - 1}', *folder, '--test',
                   note=f'{seeds} seed{"s" * (seeds > 1)} so far; between seeds, rare classes differ by points')
    elif not (args.latex or args.markdown):
        shown = {'--base': args.base, '--groups': args.groups, '--blocks': args.blocks}
        given = [str(word) for name, value in shown.items() if value is not None for word in (name, value)]
        print_next('mmimb', 'compare', *args.runs, *given, *(['--val'] if args.val else []), '--markdown', 'comparison.md',
                   '--latex', 'comparison.tex')


def _files(args: argparse.Namespace, runs: Any, found: Any, grids: Any, sentences: list[str]) -> dict[Path, bytes]:
    from ..analysis import csv_text, draw, latex, markdown
    files: dict[Path, bytes] = {}
    if args.out:
        files[Path(args.out)] = draw(runs, found, kind=Path(args.out).suffix.lower().removeprefix('.'))
    if args.markdown:
        files[Path(args.markdown)] = '\n\n'.join([*map(markdown, grids), *sentences, '']).encode()
    if args.latex:
        files[Path(args.latex)] = '\n\n'.join([*map(latex, grids), '']).encode()
    if args.csv:
        files[Path(args.csv)] = csv_text(runs, found).encode()
    return files


def _print_tables(grids: Any) -> None:
    from rich.console import Console

    from ..analysis import rich_table
    for grid in (grid for grid in grids if not grid.detail):
        print()
        table = rich_table(grid)
        width = Console(width=10_000).measure(table).maximum  # a narrow terminal must not cut numbers
        Console(width=width).print(table)
