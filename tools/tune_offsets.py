#!/usr/bin/env python
"""Add one offset per class to the scores of a trained model, found on a held-out split; the result is a plain checkpoint."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_arguments() -> argparse.Namespace:
    from mmimb.engine.config import add_common_arguments
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file; offsets that it has are replaced')
    parser.add_argument('--out', required=True, metavar='TUNED.pth', help='where the tuned checkpoint goes')
    parser.add_argument('--undo', action='store_true', help='write the weights as they were before they were tuned')
    parser.add_argument('--split', default='val', metavar='SPLIT', help="'val' (default), 'test', or a config whose "
                        'test_dataloader is the split to tune on: images that are neither trained on nor reported')
    parser.add_argument('--for', dest='objective', default='mIoU', metavar='OBJECTIVE', help='mIoU (default), mIoU_tail, mAcc, '
                        'worst, or a weighted sum such as mIoU=0.5,mIoU_tail=0.5')
    parser.add_argument('--stats', metavar='REPORT', help='report of tools/scan_dataset.py on the training split: its class '
                        'shares and its tail (default: the shares of the split, the tail of its evaluator)')
    parser.add_argument('--groups', metavar='FILE', help='names of images that belong together, a group per line')
    parser.add_argument('--blocks', type=int, metavar='N', help='N images in a row belong together, as frames of a video do')
    parser.add_argument('--work-dir', help='folder for logs (default: ./work_dirs/<name of the config>/tune)')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    from mmimb.engine.errors import one_line_errors
    with one_line_errors():
        options = parse_arguments()
        from mmimb.engine.tuning import TuneOptions, tune_checkpoint, undo_offsets
        if options.undo:
            undo_offsets(TuneOptions(**vars(options)))
            print(f'wrote {options.out} without offsets')
            return 0
        from mmimb.analysis.offset_table import tuning_sentence, tuning_table
        result = tune_checkpoint(TuneOptions(**vars(options)))
    if result is not None:
        table = tuning_table(result.tuning, result.classes, result.before, result.after)
        notes = [f'note: {notice}' for notice in result.notices]
        print(*notes, table, tuning_sentence(result.tuning), f'wrote {options.out}', sep='\n')
    return 0


if __name__ == '__main__':
    from mmimb.engine.process import run_tool
    run_tool(main)
