#!/usr/bin/env python
"""Convert Clothing Co-Parsing (https://github.com/bearpaw/clothing-co-parsing): the 1,004 photos with pixel labels, halved.

Writes images/*.jpg, annotations/*.png (ids of label_list.mat, 0 = null) and the lists of stems train, val and test: fit on
train.txt, choose on val.txt, report on test.txt. --lists takes the lists of a published split instead. Needs scipy.
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
    parser.add_argument('source', metavar='SRC', help='folder with photos/, annotations/pixel-level/ and label_list.mat')
    parser.add_argument('out', metavar='OUT', help='folder to write, such as data/ccp; must not exist')
    parser.add_argument('--lists', metavar='DIR', help='folder with train.txt, val.txt and test.txt to keep')
    parser.add_argument('--seed', type=int, default=0, help='of the split into train, val and test; default: %(default)s')
    parser.add_argument('--quality', type=int, default=95, help='JPEG quality of the images; default: %(default)s')
    return parser.parse_args()


@one_line_errors()
def main() -> int:
    args = parse_args()
    require_stack()
    from mmimb.datasets.ccp_convert import convert_ccp
    from mmimb.engine.progress import progress_bar

    with progress_bar() as update:
        counts = convert_ccp(args.source, args.out, lists=args.lists, seed=args.seed, quality=args.quality, progress=update)
    print(f'wrote {args.out}: ' + ', '.join(f'{name} {number}' for name, number in counts.items()))
    return 0


if __name__ == '__main__':
    run_tool(main)
