"""Options that training, testing and tuning share, under the names that mmseg's tools give them."""
from __future__ import annotations

import argparse

from ..engine.launch import LAUNCHERS


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, ``--launcher``, ``--local_rank`` and ``--trust-checkpoint``."""
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings of the config, such as '
                        'train_cfg.max_iters=100 or key="[a,b]"; quote lists, and write no spaces')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what started the processes of a distributed run')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='given by old launchers')
    parser.add_argument('--trust-checkpoint', action='store_true', help='load checkpoints that are no plain data; they can run '
                        'any code, so only pass it for files whose maker you know')
