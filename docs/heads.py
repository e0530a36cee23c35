"""The table of docs/heads.md, from the configs that tests/test_zoo_heads.py trains: ``python docs/heads.py``"""
from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).with_suffix('.md')
BEGIN, END = '<!-- heads:begin -->\n', '<!-- heads:end -->'
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]


def table() -> str:
    """Return a row for every official config: what a suggested config changes, what stays, and where it trains."""
    from support.zoo import FAMILIES, shrunk

    from mmimb.report.losses import changed_losses
    from mmimb.stack import COMPILED, OF_MMDET
    from mmimb.stats import ClassStats

    stats = ClassStats((9000, 800, 70), (40, 30, 20))
    lines = ['| head | official config | losses that change | losses that stay | onedl | openmmlab |', '|---' * 6 + '|']
    for family in FAMILIES:
        losses = changed_losses({'type': 'mmimb.CrossEntropyLoss'}, stats, shrunk(family))
        changed = ', '.join(f'`{_short(keys)}`' + (' (queries)' if new['type'] == 'mmimb.QueryCrossEntropyLoss' else '')
                            for keys, new in losses.changes.items())
        left = '; '.join(line.removeprefix('model.').split(': ')[0] for line in losses.left)
        if not changed:
            lines.append(f'| {family.head} | `{family.config}` | none | {left} | refused: no classes | refused: no classes |')
            continue
        needs = ('refused without compiled mmdet' if family.head in OF_MMDET else
                 f'refused without the operator {COMPILED[family.head][0]}' if family.head in COMPILED else 'trains')
        lines.append(f'| {family.head} | `{family.config}` | {changed} | {left} | {needs} | trains |')
    return '\n'.join(lines) + '\n'


def _short(keys: tuple[str | int, ...]) -> str:
    from mmimb.loss_places import shown
    return shown(keys).removeprefix('model.')


def written(text: str) -> str:
    """Return the page with the table in it."""
    before, _, rest = text.partition(BEGIN)
    return f'{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}'


if __name__ == '__main__':
    PAGE.write_text(written(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
