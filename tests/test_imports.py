"""The arrows of import that the design draws, read from the source."""
from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT

ALLOWED = {
    'functional': set(),
    'kernels': {'functional'},
    'dispatch': {'functional', 'kernels'},
    'stats': {'printable'},
    'scan': {'loss_places', 'printable', 'stats', 'checks', 'files', 'signals', 'stack', 'registry'},
    'weights': {'files', 'stats', 'checks', 'registry', 'functional'},
    'losses': {'functional', 'dispatch', 'stats', 'checks', 'weights', 'registry'},
    'heads': {'functional', 'dispatch', 'stats', 'checks', 'loss_places', 'registry'},
    'metrics': {'functional', 'stats', 'analysis', 'checks', 'files', 'padding', 'printable', 'registry'},
    'hooks': {'functional', 'stats', 'scan', 'weights', 'heads', 'sampling', 'analysis', 'checks', 'files', 'padding',
              'signals', 'workers', 'registry'},
    'datasets': {'registry'},
    'sampling': {'stats', 'scan', 'checks', 'weights', 'registry'},
    'engine': {'functional', 'stats', 'scan', 'analysis', 'metrics', 'weights', 'datasets', 'heads', 'checks', 'files',
               'loss_places', 'nodes', 'printable', 'signals', 'workers', 'stack', 'registry'},
    'analysis': {'printable', 'stats', 'checks', 'files'},
    'report': {'stats', 'scan', 'analysis', 'weights', 'loss_places', 'checks', 'printable'},
    'commands': {'analysis', 'checks', 'datasets', 'doctor', 'engine', 'files', 'loss_places', 'printable', 'report', 'scan',
                 'signals', 'stack', 'weights'},
    'doctor': {'printable', 'stack', 'engine', 'scan', 'functional', 'dispatch', 'hooks', 'registry'},
    'testing': {'stats', 'weights', 'engine', 'loss_places', 'stack'},
    'checks': set(),
    'files': set(),
    'loss_places': {'stack'},
    'nodes': set(),
    'padding': set(),
    'printable': set(),
    'signals': set(),
    'workers': {'signals'},
    'registry': {'stack'},
    'stack': set(),
    '__init__': set(),
    '__main__': {'commands'},
}
FILES = sorted((ROOT / 'mmimb').rglob('*.py'))
architecture = SimpleNamespace(**runpy.run_path(str(ROOT / 'docs/architecture.py')))


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT / 'mmimb')))
def test_arrows(path) -> None:
    part = path.relative_to(ROOT / 'mmimb').with_suffix('').parts[0]
    assert architecture.imported_parts(path) <= ALLOWED[part], f'{part} may import {sorted(ALLOWED[part])} only'


def test_nothing_imports_the_losses() -> None:
    """Nor in a circle: a config names losses, and whoever wants one builds it from the registry."""
    imports = architecture.all_imports()
    assert [part for part, names in imports.items() if 'losses' in names] == []
    assert [part for part in imports if part in architecture.reached(part, imports)] == []


def test_the_picture_shows_the_imports() -> None:
    picture = architecture.PICTURE.read_text(encoding='utf-8')
    imports = architecture.all_imports()
    drawn = re.findall(r'data-from="(\w+)" data-to="(\w+)"', picture)
    assert sorted(drawn) == sorted(architecture.arrows(imports)), 'write it again: python docs/architecture.py'
    assert set(re.findall(r'class="name"[^>]*>(\w+)<', picture)) == set(imports)


def test_the_walks_name_files_that_exist() -> None:
    text = (ROOT / 'docs/architecture.md').read_text(encoding='utf-8')
    named = re.findall(r'`([\w/]+\.py)`', text)
    assert [path for path in named if not (ROOT / 'mmimb' / path).is_file()] == []
    steps = re.findall(r'^\d+\. .*(?:\n   .*)*', text, re.MULTILINE)
    assert len(steps) >= 12
    assert [step for step in steps if not re.search(r'`[\w/]+\.py`', step)] == []


@pytest.mark.parametrize('path', [p for p in FILES if 'functional' in p.parts], ids=lambda p: p.name)
def test_functional_imports_nothing_but_torch(path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module.split('.')[0] in (
                '__future__', 'collections', 'dataclasses', 'functools', 'itertools', 'math', 'torch', 'typing')
        elif isinstance(node, ast.Import):
            assert all(alias.name.split('.')[0] in ('math', 'torch') for alias in node.names)


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_import_is_light() -> None:
    assert run("import sys, mmimb; sys.exit(bool({'torch', 'mmengine', 'numpy', 'rich'} & set(sys.modules)))").returncode == 0


def test_losses_are_imported_in_a_second() -> None:
    """Processor time beyond torch's and the stack's own, without the compiler of torch, which takes a second by itself."""
    result = run("import sys, time, torch, mmseg\n"
                 "before, begin = 'torch._dynamo' in sys.modules, time.process_time()\n"
                 "import mmimb.losses\n"
                 "print(time.process_time() - begin, before, 'torch._dynamo' in sys.modules)")
    seconds, before, after = result.stdout.split()
    assert float(seconds) < 1, result.stderr
    assert before == after


def test_a_missing_stack_gives_one_line_with_both_commands() -> None:
    block = "import sys\nsys.modules['mmengine'] = None\n"
    for code in ('import mmimb.registry', 'from mmimb.stack import require_stack; require_stack()'):
        last = run(block + code).stderr.strip().splitlines()[-1]
        assert last.startswith('ImportError: ')
        assert 'mmimb[onedl]' in last
        assert 'mmimb[openmmlab]' in last


def test_a_half_installed_stack_names_the_part() -> None:
    last = run("import sys\nsys.modules['mmcv'] = None\nfrom mmimb.stack import require_stack; require_stack()").stderr
    assert 'MMSegmentation cannot be imported (mmcv: ' in last.strip().splitlines()[-1]


def test_losses_resolve_in_an_mmseg_registry_without_custom_imports() -> None:
    code = ("from mmseg.registry import MODELS\n"
            "print(type(MODELS.build(dict(type='mmimb.CrossEntropyLoss'))).__module__)")
    assert run(code).stdout.strip() == 'mmimb.losses.softmax'


@pytest.mark.parametrize('path', sorted((ROOT / 'tools').rglob('*.py')), ids=lambda p: p.name)
def test_tools_run_from_a_checkout_that_is_not_installed(path, tmp_path) -> None:
    code = ('import os, runpy, sys\n'
            "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
            f'sys.path = [p for p in sys.path if os.path.realpath(p) != {str(ROOT)!r}]\n'
            f"runpy.run_path({str(path)!r}, run_name='tool')\n"
            'import mmimb; print(mmimb.__file__)')
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    result = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == str(ROOT / 'mmimb/__init__.py'), result.stderr
    assert path.read_text().startswith('#!/usr/bin/env python\n')
    assert os.access(path, os.X_OK)
