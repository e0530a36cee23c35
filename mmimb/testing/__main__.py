"""``python -m mmimb.testing CONFIG-OR-TYPE ...``: ask the contract of any registered loss and print the answers."""
from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from ..engine.errors import one_line_errors
from ..engine.process import run_tool
from ..loss_places import OTHER, loss_places
from ..stack import require_stack

MARKS = {'holds': '[green]holds[/]', 'broken': '[red]broken[/]', 'exempt': '[yellow]exempt[/]'}


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m mmimb.testing', description=__doc__)
    parser.add_argument('loss', nargs='+', help='a registered type (mmimb.LDAMLoss, mmseg.DiceLoss) or a config file whose '
                        'loss_decode entries are asked')
    parser.add_argument('--num-classes', type=int, default=4, help='channels of the logits for a type (default 4)')
    parser.add_argument('--markdown', action='store_true', help='print one table of all losses, for a document')
    args = parser.parse_args()
    with one_line_errors():
        os.environ.setdefault('PYTHONWARNINGS', 'ignore')  # of the processes that are asked about two ranks, too
        warnings.filterwarnings('ignore')
        logging.getLogger('torch._subclasses.fake_tensor').setLevel(logging.CRITICAL)
        require_stack()
        losses = [entry for source in args.loss for entry in _losses(source, args.num_classes)]
        if args.markdown:
            sys.stdout.write(_markdown(losses))
            return 0
        broken = sum([_report(title, loss, count) for title, loss, count in losses])
        if not losses:
            raise ValueError(f'`loss` must be a type or a config with loss_decode entries, got {", ".join(args.loss)}')
    return 1 if broken else 0


def _losses(source: str, num_classes: int) -> Iterator[tuple[str, Any, int]]:
    if not source.endswith('.py'):
        yield source, source, num_classes
        return
    from ..engine.config import read_config
    seen = []
    for one in loss_places(read_config(source, required=('model', )).model):
        if one.loss is None or one.learns == OTHER or dict(one.loss) in seen:
            continue
        seen.append(plain := dict(one.loss))
        if not one.at.head.get('num_classes'):
            raise ValueError(f'`num_classes` must be in the head of {one.place} of {source}, got none')
        place = one.place.removeprefix('model.').removesuffix('.loss_decode')
        yield f'{place}: {plain["type"]}', plain, one.at.head['num_classes']


def _markdown(losses: list[tuple[str, Any, int]]) -> str:
    from .contract import check_loss
    columns = {title: {a.question: a for a in check_loss(loss, num_classes=count)} for title, loss, count in losses}
    questions = next(iter(columns.values())).values()
    heads = ' | '.join(title.split('.')[-1] for title in columns)
    lines = [f'| question | asks | {heads} |', '|---' * (len(columns) + 2) + '|']
    for asked in questions:
        marks = ['✓' if answers[asked.question].verdict == 'holds' else '✗' for answers in columns.values()]
        lines.append(f'| `{asked.question}` | {asked.asks} | ' + ' | '.join(marks) + ' |')
    return '\n'.join(lines) + '\n'


def _report(title: str, loss: Any, num_classes: int) -> int:
    from .contract import check_loss
    answers = check_loss(loss, num_classes=num_classes)
    table = Table('question', 'answer', 'asks / what was seen', title=title)
    for answer in answers:
        table.add_row(answer.question, MARKS[answer.verdict], answer.asks if answer.verdict == 'holds' else answer.detail)
    Console().print(table)
    return sum(answer.verdict == 'broken' for answer in answers)


if __name__ == '__main__':
    run_tool(main)
