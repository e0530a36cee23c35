#!/usr/bin/env python
"""Count the labels of a dataset as training sees them, audit them, and write the statistics that the losses read.

The dataset is built from an mmseg config; its own label loading (reduce_zero_label, label_map) is applied and each image
is counted once, whatever wrappers repeat it. The JSON holds the sums and findings, the .npz beside it the counts per image.

  scan_dataset.py CONFIG [--out FILE.json]              scan
  scan_dataset.py CONFIG --shard i/n --out PART.json    scan the i-th (from 0) of n parts
  scan_dataset.py merge PART.json … --out FILE.json     join parts, of which each may be a union already
"""
from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmimb.engine.errors import one_line_errors
from mmimb.engine.process import run_tool
from mmimb.printable import printable
from mmimb.signals import Stopped
from mmimb.stack import require_stack

EXIT_FINDINGS = 3
STATUSES = ('exit status: 0 written; 2 bad config, arguments or layout; 3 written, and something was found (one line for each '
            'on stderr); 3 and nothing written: --strict, or no label at all; 75 stopped by SIGTERM or '
            'SIGUSR1, 130 by SIGINT: --resume goes on')


def add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--html', metavar='FILE.html', help='also write a page with figures and example images to show around')
    parser.add_argument('--strict', action='store_true', help='stop at the first finding, with nothing written')
    parser.add_argument('--class-weight', nargs='+', metavar=('SCHEME', 'KEY=VALUE'), help='also write the weights of a scheme '
                        '(InverseFrequency, MedianFrequency, LogFrequency, EffectiveNumber; e.g. InverseFrequency power=0.5 '
                        "max_ratio=20) to <out>.<SCHEME>.json, a list as mmseg's own class_weight='….json' takes it")
    parser.add_argument('--no-object', type=float, metavar='WEIGHT', help='with --class-weight: one more entry, for the '
                        '"no object" class of Mask2Former (usually 0.1)')


def scan_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=STATUSES)
    parser.add_argument('config', help='mmseg config whose dataset is counted')
    parser.add_argument('--out', metavar='FILE.json', help='where to write; default: <config name>.stats.json '
                        '(.<split>.stats.json for val and test) in the current folder: one name for each config and split')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='default: %(default)s')
    parser.add_argument('--workers', type=int, help='processes that read; 0: none; default: the cores, 8 at most')
    parser.add_argument('--resume', action='store_true', help='go on with a scan that was killed, from <out>.parts')
    shard = parser.add_mutually_exclusive_group()
    shard.add_argument('--shard', metavar='i/n', help='scan only the i-th (from 0) of n parts, and write a part to be merged')
    shard.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none', help='take i/n from torchrun or '
                       'srun; each process writes <out>.<i>of<n>.json')
    parser.add_argument('--crops', type=int, metavar='K', help='also count K crops of each image after the whole pipeline: '
                        'what batches hold')
    parser.add_argument('--seed', type=int, default=0, help='of the crops; default: %(default)s')
    add_outputs(parser)
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override config entries')
    return parser


def merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='scan_dataset.py merge', description='Join parts of one scan, in any order.',
                                     epilog=STATUSES)
    parser.add_argument('parts', nargs='+', help='what --shard, --launcher or merge wrote')
    parser.add_argument('--out', metavar='FILE.json', required=True, help='the report; a larger part while images are missing')
    add_outputs(parser)
    return parser


def check_outputs(args: argparse.Namespace) -> tuple[str, dict] | None:
    """Return the scheme of --class-weight; mistakes are told before a long scan, not after it."""
    from mmimb.checks import whole_number
    from mmimb.files import check_writable, require_suffix
    from mmimb.weights.export import read_scheme

    require_suffix('--html', args.html, '.html')
    if args.html is not None:
        check_writable('--html', args.html)
    in_parts = getattr(args, 'shard', None) is not None or getattr(args, 'launcher', 'none') != 'none'
    if (crops := getattr(args, 'crops', None)) is not None:
        whole_number('crops', crops, least=1)
        whole_number('seed', args.seed, least=0)
    if in_parts and (args.html or crops or args.class_weight):
        raise ValueError('`html`, `crops` and `class-weight` must come with a scan of all images (all but `crops` with merge, '
                         'too), got one of a part')
    if args.no_object is not None and not args.class_weight:
        raise ValueError(f'`no-object` must come with --class-weight, got {args.no_object} alone')
    return read_scheme(args.class_weight, args.no_object) if args.class_weight else None


def scan(args: argparse.Namespace, scheme: tuple[str, dict] | None) -> int:
    from mmimb.engine.progress import progress_bar
    from mmimb.scan import BadLabelsError
    from mmimb.scan.job import ScanJob
    from mmimb.scan.report import check_report_path
    from mmimb.scan.shards import launched_shard, read_shard, shard_path

    shard = (0, 1) if args.launcher == 'none' else launched_shard(args.launcher)
    if args.shard is not None:
        shard = read_shard(args.shard)
    name = f'{Path(args.config).stem}{"" if args.split == "train" else "." + args.split}.stats.json'
    out = Path(args.out or name)
    out = check_report_path(out if args.launcher == 'none' else shard_path(out, shard))
    job = ScanJob(read_config(args), args.split, out, shard)
    begin = time.perf_counter()
    try:
        with progress_bar() as update:
            part = job.read(args.workers, resume=args.resume, progress=update, strict=args.strict)
        with progress_bar('crop') as update:
            crops = None if args.crops is None else job.count_crops(args.crops, args.seed, args.workers, progress=update)
    except Stopped as stopped:
        print(f'{stopped}; --resume goes on with what is in {job.store.folder}', file=sys.stderr)
        stopped.told = True
        raise
    try:
        status = write(part, out, args, scheme, time.perf_counter() - begin, job=job, crops=crops)
    except BadLabelsError:
        job.store.clear()
        raise
    job.store.clear()
    return status


def read_config(args: argparse.Namespace) -> Any:
    from mmimb.datasets.layout import check_layout
    from mmimb.engine.config import read_config
    from mmimb.scan.build import split_dataset_cfg

    cfg = read_config(args.config, overrides=args.cfg_options)
    check_layout(split_dataset_cfg(cfg, args.split), f'{args.split}_dataloader.dataset')
    return cfg


def merge(args: argparse.Namespace, scheme: tuple[str, dict] | None) -> int:
    from mmimb.scan.part import join_parts, read_part
    from mmimb.scan.report import check_report_path

    out = check_report_path(args.out)
    begin = time.perf_counter()
    part = join_parts([read_part(Path(path)) for path in args.parts])
    return write(part, out, args, scheme, time.perf_counter() - begin)


def write(part: Any, out: Path, args: argparse.Namespace, scheme: tuple[str, dict] | None, seconds: float, *,
          job: Any = None, crops: Any = None) -> int:
    """Write the report of a complete part, or the part; print the table and the findings. Returns the exit status."""
    from mmimb.files import write_files
    from mmimb.report import present, render, show
    from mmimb.scan.audit import add_crop_findings, finding_lines, number_of_findings
    from mmimb.scan.part import write_part
    from mmimb.scan.report import describe_run, write_report
    from mmimb.scan.scan import finish
    from mmimb.weights.export import scheme_weights, write_weights

    run = describe_run(seconds, getattr(args, 'workers', None))
    if not part.complete:
        print('wrote', *map(printable, write_part(part, out, run)))
        print(f'this is a part, {len(part.records)} of {part.manifest.total} images, with {len(part.records.problems)} '
              'findings that `merge` will name; all are joined by: '
              'scan_dataset.py merge PART … --out FILE.json')
        return 0
    found = finish(part, strict=args.strict)
    if crops is not None:
        add_crop_findings(found.audit, found.stats, crops)
    config = Path(args.config) if job is not None else None
    source = present(found, out, run, config=config, job=job, crops=crops)
    written = [*write_report(found, out, run, crops=crops)]
    if scheme is not None:
        written.append(write_weights(scheme_weights(*scheme, found.stats, no_object=args.no_object),
                                     out.with_suffix(f'.{scheme[0]}.json')))
    if args.html is not None:
        write_files({(page := Path(args.html)): render(source)})
        written.append(page)
    show(source)
    print('wrote', *map(printable, written), flush=True)
    problems = [] if crops is None else [printable(f'crops: {problem}') for problem in crops.problems]
    findings = number_of_findings(found.audit) + len(problems)
    lines = [*finding_lines(found.audit), *problems, *([f'{findings} findings'] if findings else [])]
    print(*lines, sep='\n', end='\n' if lines else '', file=sys.stderr)
    return EXIT_FINDINGS if findings else 0


@one_line_errors()
def main() -> int:
    require_stack()
    from mmimb.scan import BadLabelsError

    merging = sys.argv[1:2] == ['merge']
    args = merge_parser().parse_args(sys.argv[2:]) if merging else scan_parser().parse_args()
    scheme = check_outputs(args)
    try:
        return merge(args, scheme) if merging else scan(args, scheme)
    except BadLabelsError as error:
        lines = [*error.problems, f'error: {error}; nothing was written']
        print(*map(printable, lines), sep='\n', file=sys.stderr)
        return EXIT_FINDINGS


if __name__ == '__main__':
    warnings.filterwarnings('ignore', module='mmengine|mmcv|mmseg|torch')
    run_tool(main)
