"""``mmimb COMMAND …``: finds the module of the command, parses its arguments, runs it.

A module has a docstring (its first line is the command's line in ``mmimb --help``), ``add_arguments(parser)`` and
``run(args) -> exit status``. It imports what is heavy inside of ``run``.
"""
from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from .. import __version__
from ..engine.errors import one_line_errors
from ..engine.process import run_tool

ABOUT = 'Class imbalance in MMSegmentation, from a scan of the labels to a comparison of trained models.'
COMMANDS = ('scan', 'scan merge', 'train', 'test', 'tune', 'explain', 'compare', 'doctor', 'demo')


def module_of(command: str) -> ModuleType:
    """Return the module of a command: that of ``'scan merge'`` is ``scan_merge``."""
    return import_module(f'{__package__}.{command.replace(" ", "_")}')


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; ``command`` is the one that was given."""
    parser = argparse.ArgumentParser(prog='mmimb', description=ABOUT, epilog='mmimb COMMAND --help tells the arguments of one')
    parser.add_argument('--version', action='version', version=f'mmimb {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', title='commands', required=True)
    for name in COMMANDS:
        module = module_of(name)
        text = inspect.getdoc(module) or ''
        child = commands.add_parser(name, help=text.partition('\n')[0], description=text,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(child)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (without the program's name; default: that of this process) and return its exit status.

    Raises:
        SystemExit: With status 2, after one line that says what the user can mend.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if ' '.join(words[:2]) in COMMANDS:
        words[:2] = [' '.join(words[:2])]
    with one_line_errors():
        args = build_parser().parse_args(words)
        module = module_of(vars(args).pop('command'))
        return int(module.run(args))


def run() -> NoReturn:
    """Be the program ``mmimb``.

    Raises:
        SystemExit: With the status of the command.
    """
    run_tool(main)


def run_as(command: str) -> NoReturn:
    """Be a script of ``tools/``: all of its arguments belong to ``command``.

    Raises:
        SystemExit: With the status of the command.
    """
    run_tool(lambda: main([command, *sys.argv[1:]]))
