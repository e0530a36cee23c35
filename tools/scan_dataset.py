#!/usr/bin/env python
"""Count the labels of a dataset as training sees them, and write the statistics that the losses read.

The dataset is built from an mmseg config; its own label loading (reduce_zero_label, label_map) is applied and each image
is counted once, whatever wrappers repeat it. The JSON holds the sums, the .npz beside it the counts of every image.
"""
from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmimb.engine.errors import one_line_errors
from mmimb.stack import require_stack

EXIT_BAD_LABELS, EXIT_INTERRUPTED = 3, 130


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=(
        'exit status: 0 written; 2 bad config, arguments or layout; 3 label files that cannot be used, one line for each'))
    parser.add_argument('config', help='mmseg config whose dataset is counted')
    parser.add_argument('--out', metavar='FILE.json', help='where to write; default: <config name>.stats.json '
                        '(.<split>.stats.json for val and test) in the current folder: one name for each config and split')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='default: %(default)s')
    parser.add_argument('--workers', type=int, help='processes that read; 0: none; default: the cores, 8 at most')
    parser.add_argument('--class-weight', nargs='+', metavar=('SCHEME', 'KEY=VALUE'), help='also write the weights of a scheme '
                        '(InverseFrequency, MedianFrequency, LogFrequency, EffectiveNumber; e.g. InverseFrequency power=0.5 '
                        "max_ratio=20) to <out>.<SCHEME>.json, a list as mmseg's own class_weight='….json' takes it")
    parser.add_argument('--no-object', type=float, metavar='WEIGHT', help='with --class-weight: one more entry, for the '
                        '"no object" class of Mask2Former (usually 0.1)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override config entries')
    return parser.parse_args()


def scan(args: argparse.Namespace, update: Callable[[int, int], None]):
    from mmimb.datasets.layout import check_layout
    from mmimb.engine.config import read_config
    from mmimb.stats.build import build_split, heads_ignore_index, split_dataset_cfg
    from mmimb.stats.scan import scan_dataset

    cfg = read_config(args.config, overrides=args.cfg_options)
    check_layout(split_dataset_cfg(cfg, args.split), f'{args.split}_dataloader.dataset')
    return scan_dataset(build_split(cfg, args.split), args.workers, args.split, ignore_index=heads_ignore_index(cfg),
                        progress=update)


def read_weight_options(args: argparse.Namespace) -> tuple[str, dict]:
    """Return the scheme and its arguments, tried on small counts: mistakes are told before a long scan, not after it."""
    from ast import literal_eval

    from mmimb.stats import ClassStats
    from mmimb.weights.export import scheme_weights

    name, *pairs = args.class_weight
    arguments = {}
    for pair in pairs:
        key, equals, text = pair.partition('=')
        if not equals:
            raise ValueError(f'`class-weight` must be a scheme and key=value arguments, got {pair!r}')
        try:
            arguments[key] = literal_eval(text)
        except (ValueError, SyntaxError):
            arguments[key] = text
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        scheme_weights(name, arguments, ClassStats((2, 1), (1, 1), image_pixels=(3, 3)), no_object=args.no_object)
    return name, arguments


def fail(status: int, *lines: str) -> int:
    print(*lines, sep='\n', file=sys.stderr)
    return status


def main() -> int:
    require_stack()
    from rich.console import Console

    from mmimb.engine.progress import progress_bar
    from mmimb.stats import BadLabelsError
    from mmimb.stats.report import check_report_path, report_summary, report_table, write_report
    from mmimb.weights.export import scheme_weights, write_weights

    args = parse_args()
    if args.no_object is not None and not args.class_weight:
        raise ValueError(f'`no-object` must come with --class-weight, got {args.no_object} alone')
    scheme = read_weight_options(args) if args.class_weight else None
    name = f'{Path(args.config).stem}{"" if args.split == "train" else "." + args.split}.stats.json'
    out = check_report_path(args.out or name)
    try:
        with progress_bar() as update:
            found = scan(args, update)
    except BadLabelsError as error:
        return fail(EXIT_BAD_LABELS, *(f'error: {problem}' for problem in error.problems),
                    f'error: {len(error.problems)} of {error.num_images} label files cannot be used; nothing was written')
    except KeyboardInterrupt:
        return fail(EXIT_INTERRUPTED, 'interrupted; nothing was written')
    written = [*write_report(found, out)]
    if scheme is not None:
        weights = scheme_weights(*scheme, found.stats, no_object=args.no_object)
        written.append(write_weights(weights, out.with_suffix(f'.{scheme[0]}.json')))
    Console().print(report_table(found.stats))
    print(*report_summary(found.stats), sep='\n')
    print('wrote', *written)
    return 0


if __name__ == '__main__':
    warnings.filterwarnings('ignore', module='mmengine|mmcv|mmseg|torch')
    with one_line_errors():
        sys.exit(main())
