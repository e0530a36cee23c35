"""Shared by all tests: one thread per torch call, where CamVid lies, and what the repository root is."""
from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(1)  # tiny tensors; several threads on busy cores are many times slower


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--zoo', action='store_true', help='train every config of the zoo, not one per network')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked ``zoo`` unless they are asked for."""
    if not config.getoption('--zoo'):
        left_out = [item for item in items if item.get_closest_marker('zoo')]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker('zoo')]


@pytest.fixture(scope='session')
def camvid() -> Path:
    """The CamVid folder of ``MMIMB_CAMVID`` or ``../shared/data/camvid``; tests that need it skip without it."""
    folder = Path(os.environ.get('MMIMB_CAMVID', ROOT.parent / 'shared/data/camvid'))
    if not (folder / 'train.txt').is_file():
        pytest.skip('CamVid is not here: set MMIMB_CAMVID to its folder')
    return folder


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Give each test the environment variables as they were: the tools set some, which would change what later tests load."""
    for name in ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        os.environ.pop(name, None)
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
    logging.disable(logging.NOTSET)  # the programs of the study switch messages off
