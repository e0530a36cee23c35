"""Train a segmentor: mmseg's options, with checked statistics, checkpoints of plain data, and preemption."""
from __future__ import annotations

import argparse

from .run_options import add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training takes; the names are those of :class:`mmimb.engine.training.TrainOptions`."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for checkpoints and logs (default: ./work_dirs/<name of the config>)')
    parser.add_argument('--resume', nargs='?', const='', metavar='FILE',
                        help='resume from the latest checkpoint in the work folder, if there is one, or from FILE')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--seed', type=int, help='seed of everything random (default: the config, else a random one)')
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from ..engine.training import TrainOptions, train
    train(TrainOptions(**vars(args)))
    return 0
