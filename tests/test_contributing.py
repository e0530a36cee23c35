"""CONTRIBUTING.md's example is true: the loss is added from its text to a copy of the repository, and held to the contract."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

NAME = 'PolyLoss'
PARTS = ('mmimb', 'tests', 'docs', 'pyproject.toml')


def apply(diff: str, root: Path) -> set[str]:
    """Apply a diff whose hunks have no line numbers; return the files. A hunk of only new lines goes to the end of its file.

    Raises:
        ValueError: The old lines of a hunk are not in its file, or are there more than once.
    """
    files = set()
    for part in re.split(r'^--- a/', diff, flags=re.M)[1:]:
        name, *hunks = re.split(r'\n@@\n', part.rstrip('\n') + '\n')
        text = '\n' + (root / name.strip()).read_text()
        for hunk in hunks:
            lines = hunk.rstrip('\n').split('\n')
            old, new = ('\n'.join(line[1:] for line in lines if not line.startswith(sign)) for sign in '+-')
            if not old:
                text += new + '\n'
                continue
            if text.count(f'\n{old}\n') != 1:
                raise ValueError(f'`{name}` must have these lines once, got {text.count(old)} places:\n{old}')
            text = text.replace(f'\n{old}\n', f'\n{new}\n')
        (root / name.strip()).write_text(text[1:])
        files.add(name.strip())
    return files


@pytest.fixture(scope='module')
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the repository with the example in it, and the files that changed."""
    root = tmp_path_factory.mktemp('repository')
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, root / part)
    (diff,) = re.findall(r'^```diff\n(.*?)^```$', (ROOT / 'CONTRIBUTING.md').read_text(), re.M | re.S)
    return root, sorted(apply(diff, root))


def run(root: Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *command], cwd=root, env={**os.environ, 'PYTHONPATH': str(root)},
                          capture_output=True, text=True, check=False)


def test_it_touches_the_places_that_the_text_names(example) -> None:
    assert example[1] == ['docs/losses.md', 'mmimb/functional/__init__.py', 'mmimb/functional/cross_entropy.py',
                          'mmimb/losses/__init__.py', 'mmimb/losses/softmax.py', 'tests/cases.py']


@pytest.mark.slow
def test_the_contract_holds(example) -> None:
    result = run(example[0], '-m', 'mmimb.testing', f'mmimb.{NAME}')
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count('holds') > 20


@pytest.mark.slow
def test_the_row_and_the_section_pass(example) -> None:
    files = [f'tests/test_{name}.py' for name in ('contract', 'upsampled', 'docs')]
    asked = f'{NAME} and (oracle or argument or section) or every_registered_loss or section_without_a_loss'
    result = run(example[0], '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *files, '-k', asked)
    assert result.returncode == 0, result.stdout[-5000:]


@pytest.mark.parametrize(('part', 'name'), [('functional', 'poly_cross_entropy'), ('losses', NAME)])
def test_it_is_exported(example, part: str, name: str) -> None:
    result = run(example[0], '-c', f'from mmimb import {part} as part; assert {name!r} in part.__all__; part.{name}')
    assert result.returncode == 0, result.stderr


def test_lint_and_types_are_clean(example) -> None:
    files = [name for name in example[1] if name.endswith('.py')]
    for tool in (['ruff', 'check', '--no-cache', *files], ['mypy', '--cache-dir', os.devnull, *files[:-1]]):
        result = run(example[0], '-m', *tool)
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_hunk_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('x = 1\ny = 2\n')
    assert apply('--- a/a.py\n@@\n-y = 2\n+y = 3\n@@\n+z = 4\n', tmp_path) == {'a.py'}
    assert (tmp_path / 'a.py').read_text() == 'x = 1\ny = 3\nz = 4\n'
    with pytest.raises(ValueError, match='must have these lines once, got 0 places'):
        apply('--- a/a.py\n@@\n-q = 2\n+y = 3\n', tmp_path)
