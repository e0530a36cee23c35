"""What training writes while it goes on: scalars.json, and the config that it dumped."""
from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

STARTED = re.compile(r'\d{8}_\d{6}')  # the folder that each start of a run makes below its work folder


def starts(work_dir: Path) -> list[Path]:
    """Return the folders of a run's starts, oldest first."""
    folders = (path for path in work_dir.iterdir() if STARTED.fullmatch(path.name)) if work_dir.is_dir() else ()
    return sorted(path for path in folders if (path / 'vis_data').is_dir())


def validations(work_dir: Path) -> dict[int, dict[str, Any]]:
    """Return ``{step: scores}`` of the validations that a run has logged; of a step that was validated twice, the last one.

    The step is that of the log: an iteration, or an epoch where metrics are logged by epoch.

    Raises:
        ValueError: A line in the middle of a file cannot be read.
    """
    return {int(row.pop('step')): row for row in rows(work_dir) if is_validation(row)}


def is_validation(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of scalars is of a validation: it has a mean IoU, and names no iteration of training."""
    return 'iter' not in row and isinstance(row.get('step'), int) and any(key.split('/')[-1] == 'mIoU' for key in row)


def progress(work_dir: Path) -> dict[str, int]:
    """Return the last ``iter`` and ``epoch`` that training has logged, 0 before the first line."""
    last = {'iter': 0, 'epoch': 0}
    for row in rows(work_dir):
        last.update({key: row[key] for key in last if isinstance(row.get(key), int)})
    return last


def rows(work_dir: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's ``scalars.json`` files, oldest first.

    The last line of a file may be incomplete: a run that goes on is writing it, or a kill has cut it.

    Raises:
        ValueError: Another line cannot be read.
    """
    for folder in starts(work_dir):
        file = folder / 'vis_data/scalars.json'
        if not file.is_file():
            continue
        lines = file.read_text(encoding='utf-8', errors='replace').splitlines()
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                if number == len(lines):
                    break
                raise ValueError(f'{file}: line {number} must be a JSON object as training writes it, got {line[:60]!r}') \
                    from error
            if isinstance(row, dict):
                yield row


def dumped_config(work_dir: Path) -> tuple[str, dict[str, ast.expr]]:
    """Return name and settings of the config that a run has dumped last, without running any of it; empty without one."""
    files = sorted(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime)
    if not files:
        return '', {}
    try:
        tree = ast.parse(files[-1].read_text(encoding='utf-8'))
    except (SyntaxError, ValueError):
        return files[-1].stem, {}
    return files[-1].stem, {node.targets[0].id: node.value for node in tree.body
                            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}


def literal(node: ast.AST | None) -> Any:
    """Return the value of plain data in a dumped config (numbers, texts, lists, ``dict(...)``), None for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
        return {word.arg: literal(word.value) for word in node.keywords}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {literal(key): literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def total_steps(config: Mapping[str, ast.expr]) -> tuple[int | None, str]:
    """Return the step at which a run ends (None if the config does not tell), and the unit: `iter` or `epoch`."""
    train, hooks = literal(config.get('train_cfg')), literal(config.get('default_hooks'))
    logger = hooks.get('logger') if isinstance(hooks, dict) else None
    by_epoch = not isinstance(logger, dict) or logger.get('log_metric_by_epoch', True)
    total = train.get('max_epochs' if by_epoch else 'max_iters') if isinstance(train, dict) else None
    return total if isinstance(total, int) else None, 'epoch' if by_epoch else 'iter'
