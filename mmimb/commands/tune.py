"""Add one offset per class to the scores of a trained model, found on a held-out split; the result is a plain checkpoint."""
from __future__ import annotations

import argparse
from pathlib import Path

from .next_line import overrides, print_next
from .run_options import add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what tuning takes; the names are those of :class:`mmimb.engine.tuning.TuneOptions`."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file; offsets that it has are replaced')
    parser.add_argument('--out', required=True, metavar='TUNED.pth', help='where the tuned checkpoint goes')
    parser.add_argument('--undo', action='store_true', help='write the weights as they were before they were tuned')
    parser.add_argument('--split', default='val', metavar='SPLIT', help="'val' (default), 'test', or a config whose "
                        'test_dataloader is the split to tune on: images that are neither trained on nor reported')
    parser.add_argument('--for', dest='objective', default='mIoU', metavar='OBJECTIVE', help='mIoU (default), mIoU_tail, mAcc, '
                        'worst, or a weighted sum such as mIoU=0.5,mIoU_tail=0.5')
    parser.add_argument('--start', choices=('half-weights', 'none'), default='half-weights', help='no change means: half '
                        'of the class weights of cross-entropy taken back (default, if it has some), or the model as it is')
    parser.add_argument('--stats', metavar='REPORT', help='report of `mmimb scan` on the training split: its class '
                        'shares and its tail (default: the shares of the split, the tail of its evaluator)')
    parser.add_argument('--groups', metavar='FILE', help='names of images that belong together, without '
                        'suffix, a group per line; those with blanks in double quotes')
    parser.add_argument('--blocks', type=int, metavar='N', help='N images in a row belong together, as frames of a video do')
    parser.add_argument('--work-dir', help='folder for logs (default: ./work_dirs/<name of the config>/tune)')
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Tune, or undo it; print what was found."""
    from ..engine.tuning import TuneOptions, tune_checkpoint, undo_offsets
    options = TuneOptions(**vars(args))
    if options.undo:
        undo_offsets(options)
        print(f'wrote {options.out} without offsets')
        say_next(args)
        return 0
    from ..analysis.offset_table import tuning_sentence, tuning_table
    result = tune_checkpoint(options)
    if result is not None:
        table = tuning_table(result.tuning, result.classes, result.before, result.after)
        notes = [f'note: {notice}' for notice in result.notices]
        print(*notes, table, tuning_sentence(result.tuning), f'wrote {options.out}', sep='\n')
        say_next(args)
    return 0


def say_next(args: argparse.Namespace) -> None:
    """Say how the tuned model is tested."""
    print_next('mmimb', 'test', args.config, args.out, '--out', str(Path(args.out).with_suffix('.json')),
               *overrides(args.cfg_options))
