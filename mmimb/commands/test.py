"""Test a checkpoint, and write the metrics as JSON."""
from __future__ import annotations

import argparse
from pathlib import Path

from .next_line import is_main_process, overrides, print_next
from .run_options import add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what testing takes; the names are those of :class:`mmimb.engine.evaluation.TestOptions`."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--work-dir', help='folder for logs (default: ./work_dirs/<name of the config>/test)')
    parser.add_argument('--out', metavar='METRICS.json', help='write the metrics to this file')
    parser.add_argument('--show-dir', metavar='FOLDER', help='draw every prediction into this folder')
    parser.add_argument('--logit-adjustment', type=float, metavar='TAU', help='subtract TAU times the log of the class '
                        'frequencies from the scores of a model that was trained on a softmax loss (1: as if the classes were '
                        'equally frequent; -0.25: take back half of what InverseFrequency(power=0.5) has moved); needs --stats')
    parser.add_argument('--stats', metavar='REPORT', help='report of `mmimb scan` on the training split')
    parser.add_argument('--tau-normalization', type=float, metavar='TAU', help='divide the scores of each class by the norm of '
                        'its classifier weights to the power TAU (between 0 and 1)')
    parser.add_argument('--query-adjustment', choices=('queries', 'map'), help='where --logit-adjustment acts in Mask2Former '
                        'and other heads of queries: on the semantic map (default), or on the scores of the queries')
    parser.add_argument('--tta', action='store_true', help="average the predictions for the views of the config's tta_pipeline")
    parser.add_argument('--low-memory', action='store_true', help='predict class maps without full-resolution logits, whatever '
                        'the head (a LossHead does it by itself); not with options that need the scores of all classes')
    parser.add_argument('--allow-mismatch', action='store_true', help='test a checkpoint although its decode head does not fit '
                        'the config: the parameters that do not keep their random values')
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Test."""
    from ..engine.evaluation import TestOptions, evaluate
    evaluate(TestOptions(**vars(args)))
    if not is_main_process():
        return 0
    if args.out is None:
        print_next('mmimb', 'test', args.config, args.checkpoint, '--out', 'metrics.json', *overrides(args.cfg_options),
                   note='a file that can be compared')
    else:
        print_next('mmimb', 'compare', 'BASELINE=OTHER.json', f'{Path(args.config).stem}={args.out}')
    return 0
