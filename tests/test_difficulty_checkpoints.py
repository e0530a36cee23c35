"""The counts of the difficulty hook are in every kind of checkpoint."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from support.difficulty_run import BY_EPOCHS, Folder, assert_equal, rows, state
from test_difficulty_hook import run
from test_difficulty_resume import PARTS, SAMPLER, succeeded, train

LABELLED = 2 * 61 * 64  # labelled pixels of a batch of the tiny run
USERS = ['decode_head.loss_decode', 'sampler']
DIFFICULTY, WEIGHT = [[0.06669, 0.93571, 1.0]], [[0.0070973, 1.3971655, 1.5957371]]


def old_state() -> dict[str, Any]:
    """What commit 913f1e2 wrote into a checkpoint (with other numbers), before sources had files of their own."""
    vectors = {'weight': WEIGHT[0], 'difficulty': DIFFICULTY[0], 'tau': 2.0}
    draws = {'seed': 3, 'starts': torch.tensor([0, 10]), 'weights': torch.tensor([[1.0, 1.0, 1.0], *WEIGHT]).double()}
    return {
        'classes': ['road', 'car', 'sign'], 'source': 'train',
        'meter': {'gathered': torch.tensor([[2352, 0, 0], [2352, 480, 48], [2880, 0, 0]]),
                  'score': torch.tensor([[0.93, 0.06, 0.0], [0.79, 0.04, 0.0], [0.88, 0.08, 0.0]]).double()},
        'log': {'iteration': [2, 2], 'user': USERS, 'tau': torch.tensor([2.0, 2.0]).double(),
                'difficulty': torch.tensor(2 * DIFFICULTY).double(), 'weight': torch.tensor(2 * WEIGHT).double()},
        'sampler': {'draws': draws, 'weight': {name: torch.tensor(value).double() for name, value in vectors.items()}}}


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


@pytest.mark.slow
def test_a_checkpoint_of_an_older_version_goes_on(folder, tmp_path) -> None:
    extra = PARTS + SAMPLER.format(str(folder.scan()))
    config = folder.config('interval=50, stride=1', checkpoint=4, extra=extra)
    succeeded(train(config, tmp_path, '--cfg-options', 'train_cfg.max_iters=4'))
    checkpoint, old = state(tmp_path, 4), old_state()
    assert_shape(checkpoint['class_difficulty'], old)
    checkpoint['class_difficulty'] = old
    for name, value in old['sampler']['weight'].items():
        checkpoint['state_dict'][f'decode_head.loss_decode.class_weight.{name}'] = value
    torch.save(checkpoint, tmp_path / 'iter_4.pth')
    succeeded(train(config, tmp_path, '--resume'))
    end, buffers = state(tmp_path, 8)['class_difficulty'], state(tmp_path, 8)['state_dict']
    assert end['meter']['gathered'][1].sum() == 2880 + 4 * LABELLED
    assert_equal(end['meter']['score'], old['meter']['score'])
    assert_equal(end['log'], old['log'])
    assert_equal(end['sampler'], old['sampler'])
    assert_equal(buffers['decode_head.loss_decode.class_weight.weight'], old['sampler']['weight']['weight'])
    assert [row['iteration'] for row in rows(tmp_path)] == ['2'] * 6


def assert_shape(got: Any, want: Any) -> None:
    """Compare names and types of nested plain data."""
    assert type(got) is type(want)
    if isinstance(want, dict):
        assert list(got) == list(want)
        for key, value in want.items():
            assert_shape(got[key], value)
