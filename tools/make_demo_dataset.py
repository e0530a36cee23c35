#!/usr/bin/env python
"""Write a small, long-tailed segmentation dataset of generated street scenes: real image and label files."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmimb.engine.errors import one_line_errors
from mmimb.engine.process import run_tool
from mmimb.stack import require_stack


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', help='folder to write, such as data/demo')
    parser.add_argument('--train', type=int, default=240, help='training images; default: %(default)s')
    parser.add_argument('--val', type=int, default=80, help='validation images; default: %(default)s')
    parser.add_argument('--test', type=int, default=80, help='test images; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='another seed draws other scenes; default: %(default)s')
    return parser.parse_args()


@one_line_errors()
def main() -> int:
    args = parse_args()
    require_stack()
    from mmimb.datasets.demo import make_demo_dataset
    from mmimb.engine.progress import progress_bar

    with progress_bar() as update:
        written = make_demo_dataset(args.out, args.train, args.val, args.test, seed=args.seed, progress=update)
    print(f'wrote {args.train} training, {args.val} validation and {args.test} test images to {args.out}' if written
          else f'{args.out} is there already with the same content')
    return 0


if __name__ == '__main__':
    run_tool(main)
