"""The examples in docstrings run and are true."""
from __future__ import annotations

import doctest
from importlib import import_module

import pytest
from conftest import ROOT

MODULES = sorted('.'.join(path.relative_to(ROOT).with_suffix('').parts) for path in (ROOT / 'mmimb').rglob('*.py')
                 if '>>> ' in path.read_text())


@pytest.mark.parametrize('name', MODULES)
def test_examples(name: str) -> None:
    module = import_module(name)
    result = doctest.testmod(module, extraglobs={'torch': import_module('torch')})
    assert result.attempted > 0
    assert result.failed == 0
