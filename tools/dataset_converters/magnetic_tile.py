#!/usr/bin/env python
"""Convert Magnetic-tile-defect-datasets (https://github.com/abin24/Magnetic-tile-defect-datasets.).

Writes images/*.jpg, annotations/*.png (0 background, 1 blowhole, 2 break, 3 crack, 4 fray, 5 uneven), groups.txt (the images
of one tile a line: file numbers at most 500 apart) and the lists of stems train, val and test, which divide no group: fit on
train.txt, choose on val.txt, report on test.txt. --lists takes the lists of a published split instead.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmimb.engine.errors import one_line_errors
from mmimb.engine.process import run_tool
from mmimb.stack import require_stack


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', help='folder with MT_Blowhole/Imgs, MT_Break/Imgs and so on')
    parser.add_argument('out', metavar='OUT', help='folder to write, such as data/magnetic_tile; must not exist')
    parser.add_argument('--lists', metavar='DIR', help='folder with train.txt, val.txt, test.txt and groups.txt to keep')
    parser.add_argument('--seed', type=int, default=0, help='of the split into train, val and test; default: %(default)s')
    return parser.parse_args()


@one_line_errors()
def main() -> int:
    args = parse_args()
    require_stack()
    from mmimb.datasets.magnetic_tile_convert import convert_magnetic_tile
    from mmimb.engine.progress import progress_bar

    with progress_bar() as update:
        counts = convert_magnetic_tile(args.source, args.out, lists=args.lists, seed=args.seed, progress=update)
    print(f'wrote {args.out}: ' + ', '.join(f'{name} {number}' for name, number in counts.items()))
    return 0


if __name__ == '__main__':
    run_tool(main)
