"""Train a segmentor: mmseg's options, with checked statistics, checkpoints of plain data, and preemption."""
from __future__ import annotations

import argparse
from pathlib import Path

from .next_line import is_main_process, print_next
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
    runner = train(TrainOptions(**vars(args)))
    if is_main_process():
        say_next(args.config, Path(runner.work_dir))
    return 0


def say_next(config: str, work_dir: Path) -> None:
    """Say how the decision of the trained model is tuned."""
    try:
        checkpoint = (work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip()
    except OSError:  # a config may save none
        checkpoint = 'CHECKPOINT'
    print_next('mmimb', 'tune', config, checkpoint, '--out', str(work_dir / 'tuned.pth'))
