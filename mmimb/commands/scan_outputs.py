"""What a scan and a merge of its parts write and print."""
from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..printable import printable
from .next_line import overrides, print_first, print_next

EXIT_FINDINGS = 3
STATUSES = ('exit status: 0 written; 2 bad config, arguments or layout; 3 written, and something was found (one line for each '
            'on stderr); 3 and nothing written: --strict, or no label at all; 75 stopped by SIGTERM or '
            'SIGUSR1, 130 by SIGINT: --resume goes on')


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the options that a scan and a merge share."""
    parser.add_argument('--html', metavar='FILE.html', help='also write a page with figures and example images to show around')
    parser.add_argument('--strict', action='store_true', help='stop at the first finding, with nothing written')
    parser.add_argument('--class-weight', nargs='+', metavar=('SCHEME', 'KEY=VALUE'), help='also write the weights of a scheme '
                        '(InverseFrequency, MedianFrequency, LogFrequency, EffectiveNumber; e.g. InverseFrequency power=0.5 '
                        "max_ratio=20) to <out>.<SCHEME>.json, a list as mmseg's own class_weight='….json' takes it")
    parser.add_argument('--no-object', type=float, metavar='WEIGHT', help='with --class-weight: one more entry, for the '
                        '"no object" class of Mask2Former (usually 0.1)')


def read_scheme_option(args: argparse.Namespace) -> tuple[str, dict] | None:
    """Return the scheme of ``--class-weight``, and check that what was asked for can be written."""
    from ..files import check_writable, require_suffix
    from ..weights.export import read_scheme

    require_suffix('--html', args.html, '.html')
    if args.html is not None:
        check_writable('--html', args.html)
    if args.no_object is not None and not args.class_weight:
        raise ValueError(f'`no-object` must come with --class-weight, got {args.no_object} alone')
    return read_scheme(args.class_weight, args.no_object) if args.class_weight else None


def status_of_findings(work: Callable[[], int]) -> int:
    """Do the work without other packages' warnings; name the labels for which nothing is written."""
    from ..scan import BadLabelsError

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', module='mmengine|mmcv|mmseg|torch')
            return work()
    except BadLabelsError as error:
        lines = [*error.problems, f'error: {error}; nothing was written']
        print(*map(printable, lines), sep='\n', file=sys.stderr)
        return EXIT_FINDINGS


def write_outputs(part: Any, out: Path, args: argparse.Namespace, scheme: tuple[str, dict] | None, seconds: float, *,
                  job: Any = None, crops: Any = None, pairs: Sequence[Any] = ()) -> int:
    """Write the report of a complete part, or the part; print the table and the findings. Returns the exit status."""
    from ..files import write_files
    from ..report import present, render, show
    from ..report.suggest import fix_first
    from ..scan.audit import add_crop_findings, add_near_duplicates, finding_lines, number_of_findings
    from ..scan.part import write_part
    from ..scan.report import describe_run, write_report
    from ..scan.scan import finish
    from ..weights.export import scheme_weights, write_weights

    run = describe_run(seconds, getattr(args, 'workers', None))
    if not part.complete:
        print('wrote', *map(printable, write_part(part, out, run)))
        print(f'this is a part, {len(part.records)} of {part.manifest.total} images, with {len(part.records.problems)} '
              'findings that `merge` will name')
        print_next('mmimb', 'scan', 'merge', 'PART.json', 'OTHER.json', '--out', 'FILE.json', note='when all parts are there')
        return 0
    found = finish(part, strict=args.strict)
    if crops is not None:
        add_crop_findings(found.audit, found.stats, crops)
    add_near_duplicates(found.audit, pairs, part.manifest.other_split)
    config = None if job is None else args.config
    child = getattr(args, 'write_config', None)
    source = present(found, out, run, config=config, job=job, crops=crops, child=child,
                     overrides=getattr(args, 'cfg_options', None) or ())
    errors = fix_first(found.audit)
    written = [*write_report(found, out, run, crops=crops)]
    if scheme is not None:
        written.append(write_weights(scheme_weights(*scheme, found.stats, no_object=args.no_object),
                                     out.with_suffix(f'.{scheme[0]}.json')))
    files = {} if args.html is None else {Path(args.html): render(source)}
    if child is not None and source.suggestion is not None and source.suggestion.config and not errors:
        files[Path(child)] = source.suggestion.file().encode()
    write_files(files)
    show(source, child)
    print('wrote', *map(printable, [*written, *files]), flush=True)
    problems = [] if crops is None else [printable(f'crops: {problem}') for problem in crops.problems]
    findings = number_of_findings(found.audit) + len(problems)
    lines = [*finding_lines(found.audit), *problems, *([f'{findings} findings'] if findings else [])]
    print(*lines, sep='\n', end='\n' if lines else '', file=sys.stderr, flush=True)
    say_next(source, errors, args)
    return EXIT_FINDINGS if findings else 0


def say_next(source: Any, errors: list[str], args: argparse.Namespace) -> None:
    """Say what to mend before another scan, else how to train."""
    child, given = getattr(args, 'write_config', None), overrides(getattr(args, 'cfg_options', None))
    if errors:
        print_first(errors[0] + (f', and {len(errors) - 1} more kinds' if len(errors) > 1 else ''))
        split = getattr(args, 'split', 'train')
        again = {'--split': split if split != 'train' else None, '--out': getattr(args, 'out', None), '--write-config': child,
                 '--html': getattr(args, 'html', None), '--crops': getattr(args, 'crops', None)}
        options = [word for name, value in again.items() if value for word in (name, str(value))]
        print_next('mmimb', 'scan', getattr(args, 'config', 'CONFIG'), *options, *given)
    elif source.suggestion is not None and not source.suggestion.config:
        print_next('mmimb', 'train', args.config, *given, note='no other loss is suggested')
    elif source.suggestion is not None:
        command = shlex.split(source.suggestion.commands[0])
        way = '; --write-config FILE.py does it' if hasattr(args, 'config') else ''
        print_next(*command, note='' if child else f'the config above, saved under that name{way}')
    elif hasattr(args, 'config'):
        print_next('mmimb', 'scan', args.config, *given, note='the training split: losses and metrics read its counts')
