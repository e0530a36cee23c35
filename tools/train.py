#!/usr/bin/env python
"""Train a segmentor: mmseg's train.py with checked statistics, checkpoints of plain data, and preemption."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_arguments() -> argparse.Namespace:
    from mmimb.engine.config import add_common_arguments
    parser = argparse.ArgumentParser(description='Train a segmentor.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for checkpoints and logs (default: ./work_dirs/<name of the config>)')
    parser.add_argument('--resume', nargs='?', const='', metavar='FILE',
                        help='resume from the latest checkpoint in the work folder, if there is one, or from FILE')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--seed', type=int, help='seed of everything random (default: the config, else a random one)')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    from mmimb.engine.errors import one_line_errors
    with one_line_errors():
        options = parse_arguments()
        from mmimb.engine.training import TrainOptions, train
        train(TrainOptions(**vars(options)))
    return 0


if __name__ == '__main__':
    from mmimb.engine.process import run_tool
    run_tool(main)
