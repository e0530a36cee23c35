"""Runs that are interrupted: signals, kill -9, one and two processes, and what --resume makes of them."""
from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess

import pytest
import torch
from support.tiny_run import ROOT, environment, error_line, free_port, iterations, refused, start, tiny, tool, wait_for

from mmimb.hooks import PreemptionHook
from mmimb.stats import EvaluatedCounts

__all__ = ['tiny']  # a fixture
LONG = ('train_cfg.max_iters=4000', 'train_cfg.val_interval=4000', 'default_hooks.checkpoint.interval=2000',
        'train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True')


def last(work):
    return int((work / 'last_checkpoint').read_text().rsplit('_', 1)[1].removesuffix('.pth'))


def finish(name, *arguments, step, **env):
    """Resume for five iterations and check that they are the ones after ``step``."""
    result = tool(name, *arguments, '--resume', '--cfg-options', f'train_cfg.max_iters={step + 5}',
                  'train_cfg.val_interval=5000', **env)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert iterations(result.stdout) == list(range(step + 1, step + 6))


@pytest.mark.slow
@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_one_process_saves_leaves_and_goes_on(tiny, tmp_path, number, status):
    work, log = tmp_path / 'w', tmp_path / 'log'
    process = start('train.py', tiny.config, '--work-dir', work, '--cfg-options', *LONG, log=log)
    wait_for(log, r'Iter\(train\) \[ *5/', process)
    os.killpg(process.pid, number)  # the worker that loads data gets it as well
    os.killpg(process.pid, number)
    assert process.wait(60) == status, log.read_text()[-3000:]
    step = last(work)
    assert iterations(log.read_text())[-1] == step >= 5
    assert f'stopped by {number.name} after iteration {step}' in log.read_text()
    assert 'Traceback' not in log.read_text()
    finish('train.py', tiny.config, '--work-dir', work, step=step)


@pytest.mark.slow
def test_two_processes_stopped_then_killed_then_finished(tiny, tmp_path):
    work, log = tmp_path / 'w', tmp_path / 'log'
    arguments = (tiny.config, 2, '--work-dir', work)
    process = start('dist_train.sh', *arguments, '--cfg-options', *LONG, log=log, PORT=free_port())
    wait_for(log, r'Iter\(train\) \[ *5/', process)
    process.send_signal(signal.SIGTERM)  # only the script, as a scheduler may do
    assert process.wait(60) == 75, log.read_text()[-3000:]
    stopped = last(work)
    assert stopped % 10 == 0, 'the ranks agree every 10 iterations'
    assert 'Traceback' not in log.read_text()

    options = [*LONG, 'default_hooks.checkpoint.interval=20']
    process = start('dist_train.sh', *arguments, '--resume', '--cfg-options', *options, log=log, PORT=free_port())
    wait_for(log, r'Saving checkpoint at', process)
    wait_for(work / 'last_checkpoint', rf'iter_(?!{stopped}\.pth)', process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    assert iterations(log.read_text())[0] == stopped + 1
    killed = last(work)
    assert killed > stopped
    finish('dist_train.sh', *arguments, step=killed, PORT=free_port())
    torch.load(work / f'iter_{killed + 5}.pth', weights_only=True)


@pytest.mark.slow
def test_two_processes_test_and_fail_like_one(tiny, tmp_path):
    result = tool('dist_test.sh', tiny.config, tiny.work / 'iter_8.pth', 2, '--work-dir', tmp_path / 'w', '--out',
                  tmp_path / 'm.json', PORT=free_port())
    assert result.returncode == 0, result.stderr[-3000:]
    assert '"mIoU_tail"' in (tmp_path / 'm.json').read_text()
    assert EvaluatedCounts.load(tmp_path / 'm.json').files == tuple(f'{i}.png' for i in range(8))
    result = tool('dist_train.sh', tmp_path / 'no.py', 1, PORT=free_port())
    assert error_line(result) == f"error: `config` must be an existing config file, got '{tmp_path / 'no.py'}'"


@pytest.mark.slow
def test_a_changed_key_does_not_get_into_a_resumed_run(tiny, tmp_path):
    """torch loads this file without a word, and mmengine loads a state dict in which a key is missing."""
    work = shutil.copytree(tiny.work, tmp_path / 'w')
    newest = work / 'iter_8.pth'
    data = newest.read_bytes()
    newest.write_bytes(data.replace(b'decode_head.conv_seg.weight', b'decode_head.conv_seg.weighu'))
    assert newest.read_bytes() != data
    assert torch.load(newest, weights_only=True)['meta']['iter'] == 8
    (work / 'last_checkpoint').write_text(str(newest))
    result = tool('train.py', tiny.config, '--work-dir', work, '--resume', '--cfg-options', 'train_cfg.max_iters=6')
    assert result.returncode == 0, result.stderr[-3000:]
    assert iterations(result.stdout) == [5, 6]
    for words in ('iter_8.pth', 'trying the one before', f"resuming from {str(work / 'iter_4.pth')!r}"):
        assert words in result.stdout + result.stderr


def test_launcher_without_its_environment_is_one_line(tiny):
    assert 'torchrun' in error_line(refused('train.py', tiny.config, '--launcher', 'pytorch'))


@pytest.mark.parametrize(('extra', 'expected'), [(('WORK', '--amp'), '--work-dir WORK --amp'), (('--amp', ), '--amp'),
                                                 ((), '')])
def test_slurm_script(tmp_path, extra, expected):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$@"\nexit 75\n')
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    env = environment(GPUS='2', SRUN_ARGS='--qos x', PYTHON='python', PATH=f'{tmp_path}:{os.environ["PATH"]}')
    result = subprocess.run(['bash', str(ROOT / 'tools/slurm_train.sh'), 'PART', 'JOB', 'CONFIG', *extra], env=env, text=True,
                            capture_output=True, check=False)
    assert result.returncode == 75
    assert '-p PART --job-name=JOB --gres=gpu:2 --ntasks=2 --ntasks-per-node=2' in result.stdout
    assert '--qos x' in result.stdout
    assert result.stdout.rstrip().endswith(f'tools/train.py CONFIG --launcher slurm {expected}'.rstrip())


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_scripts_without_arguments_show_their_usage(name):
    result = tool(name)
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')


@pytest.mark.parametrize('arguments', [{'interval': 0}, {'interval': 1.5}, {'exit_code': 0}, {'exit_code': 256}])
def test_hook_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        PreemptionHook(**arguments)
