"""The counts of the difficulty hook are in every kind of checkpoint."""
from __future__ import annotations

import pytest
import torch
from support.difficulty_run import BY_EPOCHS, Folder, state
from test_difficulty_hook import run
from test_difficulty_resume import PARTS, train

LABELLED = 2 * 61 * 64  # labelled pixels of a batch of the tiny run


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Folder:
    return Folder(tmp_path_factory.mktemp('counts'))


def test_counts_are_in_the_last_and_the_best_checkpoint(folder, tmp_path) -> None:
    best = "default_hooks['checkpoint'].update(save_best='mIoU', rule='greater')\n"
    run(folder.config('interval=50, stride=1', iterations=6, checkpoint=100, val_interval=4, extra=best), tmp_path)
    assert state(tmp_path, 6)['class_difficulty']['meter']['gathered'][1].sum() == 6 * LABELLED
    saved = [torch.load(path, weights_only=True) for path in tmp_path.glob('best_*.pth')]
    assert saved
    for each in saved:
        assert each['class_difficulty']['meter']['gathered'][1].sum() == each['meta']['iter'] * LABELLED


def test_counts_are_in_the_checkpoint_of_an_epoch(folder, tmp_path) -> None:
    run(folder.config('interval=50, stride=1', extra=BY_EPOCHS.format(2)), tmp_path)
    for epoch in (1, 2):
        assert state(tmp_path, f'epoch_{epoch}')['class_difficulty']['meter']['gathered'][1].sum() == 4 * epoch * LABELLED


def test_counts_are_in_the_checkpoint_of_a_stop(folder, tmp_path) -> None:
    config = folder.config('interval=50, stride=1', checkpoint=100, extra=PARTS)
    assert train(config, tmp_path, DIE_AFTER='3', DIE_BY='TERM').returncode == 75
    assert state(tmp_path, 3)['class_difficulty']['meter']['gathered'][1].sum() == 3 * LABELLED
