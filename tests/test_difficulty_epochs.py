"""Loops by epochs, and runs that are stopped by a scheduler, with measurements of difficulty."""
from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support.difficulty_run import Folder, rows, state
from support.tiny_run import environment, error_line, start, wait_for
from test_difficulty_resume import PARTS, SAMPLER, succeeded, train

EPOCHS = '''
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=100)
param_scheduler = []
default_hooks['checkpoint'].update(by_epoch=True, interval=1)
default_hooks['logger'].update(log_metric_by_epoch=True)
log_processor = dict(by_epoch=True)
'''
FINITE = "train_dataloader['sampler']['infinite'] = False\n"
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp('epochs'))
    folder.scan()
    return folder


def stopped(folder: Folder, work: Path, after: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train 4 epochs of 4 iterations with a measurement every 2, stop in the middle of an epoch, and resume.

    Return what the checkpoints at the stop and at the end know of difficulty.
    """
    extra = PARTS + SAMPLER.format(str(folder.path / 'scan.json')) + FINITE + EPOCHS
    config = folder.config('interval=2, momentum=0.999', extra=extra)
    result = train(config, work, DIE_AFTER=str(after), DIE_BY='TERM')
    assert result.returncode == 75, result.stdout[-2000:] + result.stderr[-3000:]
    before = state(work, f'epoch_{after // 4 + 1}')['class_difficulty']
    succeeded(train(config, work, '--resume'))
    after_all = state(work, 'epoch_4')['class_difficulty']
    assert after_all['sampler']['draws']['starts'].tolist() == [0, *(2 * (i + 3) for i in range(2, 17, 2))]
    return before, after_all


def test_stopped_in_the_middle_of_an_epoch(folder, tmp_path) -> None:
    """The epoch is done again, its measurements count once, and draws that were planned are planned anew."""
    before, _ = stopped(folder, tmp_path, 7)
    assert before['log']['iteration'] == [2, 2, 4, 4]  # the measurement at 6 is that of an epoch that begins again
    assert before['meter']['gathered'].sum() == 0
    table = rows(tmp_path)
    users = [row['user'] for row in table[::3]]
    assert users == ['decode_head.loss_decode', 'sampler'] * 8
    assert [int(row['iteration']) for row in table[::6]] == list(range(2, 17, 2))


def test_stopped_in_the_first_epoch_keeps_what_was_measured(folder, tmp_path) -> None:
    before, after_all = stopped(folder, tmp_path, 3)
    old, new = before['meter']['score'], after_all['meter']['score']
    torch.testing.assert_close(new, old, atol=1 - 0.999**8, rtol=0)  # all that eight measurements can change
    assert after_all['log']['iteration'] == [i for i in range(2, 17, 2) for _ in range(2)]


def test_an_endless_sampler_is_refused(folder, tmp_path) -> None:
    extra = PARTS + SAMPLER.format(str(folder.path / 'scan.json')) + EPOCHS
    line = error_line(train(folder.config('interval=2', extra=extra), tmp_path))
    assert line == 'error: `infinite` of DifficultySampler must be False in an epoch-based loop, got True'


def test_a_smaller_batch_after_a_resume(folder, tmp_path) -> None:
    """Weights that were to come into force at a later draw of the larger batches make way for new ones."""
    extra = PARTS + SAMPLER.format(str(folder.path / 'scan.json'))
    config = folder.config('interval=2', iterations=12, extra=extra)
    succeeded(train(config, tmp_path, '--cfg-options', 'train_cfg.max_iters=4'))
    succeeded(train(config, tmp_path, '--resume', '--cfg-options', 'train_dataloader.batch_size=1'))
    assert state(tmp_path, 12)['class_difficulty']['sampler']['draws']['starts'].tolist() == [0, 9, 11, 13, 15]


@pytest.mark.parametrize(('batch', 'starts'), [(1, [24 + done + 3 for done in range(2, 17, 2)]),
                                               (4, [24 + 4 * done + 12 for done in range(2, 5, 2)])])
def test_another_batch_after_a_resume_by_epochs(folder, tmp_path, batch, starts) -> None:
    """Three epochs of 8 images were drawn; weights of two more come into force 3 batches after each measurement."""
    extra = PARTS + SAMPLER.format(str(folder.path / 'scan.json')) + FINITE + EPOCHS
    config = folder.config('interval=2', extra=extra)
    succeeded(train(config, tmp_path, '--cfg-options', 'train_cfg.max_epochs=3'))
    changes = f'train_dataloader.batch_size={batch}', 'train_cfg.max_epochs=5'
    succeeded(train(config, tmp_path, '--resume', '--cfg-options', *changes))
    planned = state(tmp_path, 'epoch_5')['class_difficulty']['sampler']['draws']['starts'].tolist()
    assert planned[-len(starts):] == starts


def test_workers_of_the_holdout_outlive_the_signal(folder, tmp_path) -> None:
    """A scheduler signals all processes of a job; the run saves and leaves with status 75."""
    workers = "custom_hooks[0]['dataloader'].update(num_workers=1, persistent_workers=True)\n"
    config = folder.config(folder.holdout(2), iterations=4000, checkpoint=4000, extra=workers)
    log = tmp_path / 'log'
    process = start('train.py', config, '--work-dir', tmp_path / 'w', log=log, PYTHONPATH=environment()['PYTHONPATH'])
    wait_for(log, r'Difficulty at iteration 6 ', process)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == 75, log.read_text()[-3000:]
    assert 'Traceback' not in log.read_text()
