"""Count the labels of a dataset as training sees them, audit them, and write the statistics that the losses read.

The dataset is built from an mmseg config; its own label loading (reduce_zero_label, label_map) is applied and each image
is counted once, whatever wrappers repeat it. The JSON holds the sums and findings, the .npz beside it the counts per image.

  mmimb scan CONFIG [--out FILE.json]              scan
  mmimb scan CONFIG --shard i/n --out PART.json    scan the i-th (from 0) of n parts
  mmimb scan merge PART.json … --out FILE.json     join parts, of which each may be a union already
"""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ..signals import Stopped
from ..stack import require_stack
from .scan_outputs import STATUSES, add_outputs, read_scheme_option, status_of_findings, write_outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, the part of it to scan, and the outputs."""
    parser.epilog = STATUSES
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
    parser.add_argument('--near-duplicates', action='store_true', help='also decode all images and name those that nearly '
                        'equal one of the other split, such as neighbouring frames of a video')
    parser.add_argument('--seed', type=int, default=0, help='of the crops; default: %(default)s')
    add_outputs(parser)
    parser.add_argument('--write-config', metavar='CHILD.py', help='also write the suggested config, which builds on '
                        'CONFIG and trains as it is')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override config entries')


def run(args: argparse.Namespace) -> int:
    """Scan, and write the report or the part."""
    require_stack()
    check_options(args)
    scheme = read_scheme_option(args)
    return status_of_findings(lambda: scan(args, scheme))


def check_options(args: argparse.Namespace) -> None:
    """Mistakes are told before a long scan, not after it."""
    from ..checks import whole_number

    if args.crops is not None:
        whole_number('crops', args.crops, least=1)
        whole_number('seed', args.seed, least=0)
    in_parts = args.shard is not None or args.launcher != 'none'
    if in_parts and (args.html or args.crops or args.class_weight or args.near_duplicates or args.write_config):
        raise ValueError('`html`, `crops`, `near-duplicates`, `class-weight` and `write-config` must come with a scan of all '
                         'images (`html` and `class-weight` with merge, too), got one of a part')
    if args.write_config is not None:
        check_child(args)


def check_child(args: argparse.Namespace) -> None:
    """Refuse a path that no config can be written to, and one of a config that somebody else has written."""
    from ..files import check_writable, require_suffix
    from ..report.suggest import MARKER

    require_suffix('--write-config', args.write_config, '.py')
    check_writable('--write-config', args.write_config)
    path = Path(args.write_config)
    if path.exists() and not path.read_text(encoding='utf-8', errors='replace').startswith(MARKER):
        raise FileExistsError(f'`--write-config` must be a new file or one that `mmimb scan` has written, got {str(path)!r}')
    if args.split != 'train':
        raise ValueError(f'`--write-config` must come with --split train, got {args.split!r}')


def scan(args: argparse.Namespace, scheme: tuple[str, dict] | None) -> int:
    """Read all labels (with ``--crops``, the pipeline's crops too) and write. Returns the exit status."""
    from ..engine.progress import progress_bar
    from ..scan import BadLabelsError
    from ..scan.job import ScanJob
    from ..scan.report import check_report_path
    from ..scan.shards import launched_shard, read_shard, shard_path

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
        with progress_bar('image') as update:
            pairs = job.near_duplicates(args.workers, progress=update) if args.near_duplicates else []
    except Stopped as stopped:
        print(f'{stopped}; --resume goes on with what is in {job.store.folder}', file=sys.stderr)
        stopped.told = True
        raise
    try:
        status = write_outputs(part, out, args, scheme, time.perf_counter() - begin, job=job, crops=crops, pairs=pairs)
    except BadLabelsError:
        job.store.clear()
        raise
    job.store.clear()
    return status


def read_config(args: argparse.Namespace) -> Any:
    """Return the config, whose dataset of the split is where it says."""
    from ..datasets.layout import check_layout
    from ..engine.config import read_config
    from ..scan.build import split_dataset_cfg

    cfg = read_config(args.config, overrides=args.cfg_options)
    check_layout(split_dataset_cfg(cfg, args.split), f'{args.split}_dataloader.dataset')
    return cfg
