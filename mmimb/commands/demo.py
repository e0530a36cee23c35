"""Write a small, long-tailed segmentation dataset of generated street scenes: real image and label files."""
from __future__ import annotations

import argparse
from pathlib import Path

from ..stack import require_stack
from .next_line import print_next

CONFIG, FOLDER = 'mmimb::demo/fast-scnn_demo_ce.py', 'data/demo'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where to write, and how much."""
    parser.add_argument('out', nargs='?', default=FOLDER, help='folder to write; default: %(default)s')
    parser.add_argument('--train', type=int, default=240, help='training images; default: %(default)s')
    parser.add_argument('--val', type=int, default=80, help='validation images; default: %(default)s')
    parser.add_argument('--test', type=int, default=80, help='test images; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='another seed draws other scenes; default: %(default)s')


def run(args: argparse.Namespace) -> int:
    """Write the dataset, unless it is there."""
    require_stack()
    from ..datasets.demo import make_demo_dataset
    from ..engine.progress import progress_bar

    with progress_bar() as update:
        written = make_demo_dataset(args.out, args.train, args.val, args.test, seed=args.seed, progress=update)
    print(f'wrote {args.train} training, {args.val} validation and {args.test} test images to {args.out}' if written
          else f'{args.out} is there already with the same content')
    splits = ('train', 'val', 'test')
    moved = [f'{split}_dataloader.dataset.data_root={args.out}' for split in splits if args.out != FOLDER]
    print_next('mmimb', 'scan', CONFIG, '--out', str(Path(args.out) / 'stats.json'), '--write-config', 'demo_child.py',
               *(['--cfg-options', *moved] if moved else []))
    return 0
