"""Show why rare classes fail: which class takes their pixels, where, how often training saw them, and what would help."""
from __future__ import annotations

import argparse

from .next_line import overrides, print_next
from .run_options import add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what an explanation takes; the names are those of :class:`mmimb.engine.explaining.ExplainOptions`."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--html', metavar='PAGE.html', help='write a page with figures and the worst images to this file')
    parser.add_argument('--against', metavar='OTHER.pth', help='other weights for the same config, to be compared with')
    parser.add_argument('--split', default='val', metavar='SPLIT', help="'val' (default), 'test', or a config whose "
                        'test_dataloader is the split to look at: what you act upon should not be what you report')
    parser.add_argument('--stats', metavar='REPORT', help='report of `mmimb scan` on the training split (default: the one that '
                        'the evaluator of the split names)')
    parser.add_argument('--no-scores', dest='scores', action='store_false', help='no precision and recall over the scores, '
                        'which take time where classes are many')
    parser.add_argument('--work-dir', help='folder for logs (default: ./work_dirs/<name of the config>/explain)')
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Pass over the split, write the page, print the summary."""
    from pathlib import Path

    from ..engine.explaining import ExplainOptions, explain_checkpoint
    from ..files import write_files
    options = ExplainOptions(**vars(args))
    found = explain_checkpoint(options)
    if found is None:
        return 0
    from ..report.explained import explained_lines, render_explanation
    if options.html is not None:
        write_files({Path(options.html): render_explanation(found)})
    print(*explained_lines(found), sep='\n')
    given = overrides(args.cfg_options)
    if options.html is not None:
        print(f'wrote {options.html}')
        if found.runs[0].movable:
            print_next('mmimb', 'tune', args.config, args.checkpoint, '--out', 'tuned.pth', *given, note='unless it is tuned')
        else:
            print_next('mmimb', 'test', args.config, args.checkpoint, '--out', 'metrics.json', *given)
    else:
        print_next('mmimb', 'explain', args.config, args.checkpoint, '--html', 'explained.html', *given)
    return 0
