"""Runs that are interrupted: signals, kill -9, one and two processes, and what --resume makes of them."""
from __future__ import annotations

import os
import re
import shutil
import signal
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


class Cluster:
    """``srun`` and ``sinfo`` that print what they are asked, for one script."""

    def __init__(self, folder, nodes):
        self.folder = folder
        self.program('sinfo', f"printf '{nodes}'")
        self.program('srun', 'echo "$@"')

    def program(self, name, line):
        path = self.folder / name
        path.write_text(f'#!/bin/bash\n{line}\n')
        path.chmod(0o755)

    def run(self, name, *arguments, **variables):
        env = environment(PYTHON='python', PATH=f'{self.folder}:{os.environ["PATH"]}', **variables)
        return subprocess.run(['bash', str(ROOT / 'tools' / name), 'PART', 'JOB', *arguments], env=env, text=True,
                              capture_output=True, check=False)


@pytest.mark.parametrize(('extra', 'expected'), [(('WORK', '--amp'), '--work-dir WORK --amp '), (('--amp', ), '--amp '),
                                                 ((), '')])
def test_slurm_script(tmp_path, extra, expected):
    cluster = Cluster(tmp_path, '128 gpu:a100:8(S:0-1)')
    result = cluster.run('slurm_train.sh', 'CONFIG', *extra, GPUS='2', SRUN_ARGS='--qos x')
    assert result.returncode == 0
    assert '--gres=gpu:2 --partition=PART --ntasks=2 --ntasks-per-node=2 --cpus-per-task=5 --qos x' in result.stdout
    assert result.stdout.rstrip().endswith(f'tools/train.py CONFIG {expected}--launcher slurm')


@pytest.mark.parametrize(('nodes', 'variables', 'expected'), [
    ('128 gpu:a100:8(S:0-1)', {}, '--gres=gpu:4 --partition=PART --ntasks=4 --ntasks-per-node=4 --cpus-per-task=5'),
    ('128 gpu:8', {'GPUS': '16'}, '--gres=gpu:8 --partition=PART --ntasks=16 --ntasks-per-node=8 --cpus-per-task=5'),
    ('8 (null)\\n6 gpu:2,shard:8', {}, '--gres=gpu:2 --partition=PART --ntasks=2 --ntasks-per-node=2 --cpus-per-task=3'),
    ('64 gpu:a:1,gpu:b:2', {}, '--gres=gpu:3 --partition=PART --ntasks=3'),
    ('2 (null)', {}, '--partition=PART --ntasks=1 --ntasks-per-node=1 --cpus-per-task=2'),
    ('4 (null)', {'TASKS': '8'}, '--partition=PART --ntasks=8 --ntasks-per-node=4 --cpus-per-task=1'),
    ('64 gpu:4', {'GPUS': '0', 'TASKS': '2'}, '--partition=PART --ntasks=2 --ntasks-per-node=2 --cpus-per-task=5'),
    ('', {'SLURM_JOB_ID': '7', 'SLURM_NTASKS': '3', 'SLURM_CPUS_PER_TASK': '6'}, '--ntasks=3 --cpus-per-task=6'),
    ('', {'SLURM_JOB_ID': '7', 'SLURM_GPUS_ON_NODE': '4', 'SLURM_NNODES': '2'}, '--ntasks=8 --cpus-per-task=1'),
])
def test_slurm_asks_for_what_is_there(tmp_path, nodes, variables, expected):
    result = Cluster(tmp_path, nodes).run('slurm_test.sh', 'CONFIG', 'FILE', **variables)
    assert result.returncode == 0, result.stderr
    assert f'--kill-on-bad-exit=1 {expected}' in result.stdout
    assert result.stdout.rstrip().endswith('tools/test.py CONFIG FILE --launcher slurm')


@pytest.mark.parametrize(('nodes', 'variables', 'words'), [
    ('', {}, "`PARTITION` must be one that sinfo knows, got 'PART'"),
    ('8 (null)', {'GPUS': '1'}, "`GPUS` must be 0 .* got 1"),
    ('8 gpu:2', {'GPUS': '4', 'GPUS_PER_NODE': '4'}, "`GPUS_PER_NODE` must be at most 2 in partition 'PART', got 4"),
    ('8 gpu:2', {'CPUS_PER_TASK': '5'}, "`CPUS_PER_TASK` must be at most 4 for 2 tasks .* got 5"),
    ('2 (null)', {'TASKS': '3', 'TASKS_PER_NODE': '3'}, "`TASKS_PER_NODE` must be at most 2 .* got 3"),
])
def test_slurm_refuses_what_would_wait_for_ever(tmp_path, nodes, variables, words):
    result = Cluster(tmp_path, nodes).run('slurm_train.sh', 'CONFIG', **variables)
    assert (result.returncode, result.stdout) == (2, '')
    assert re.search(f'^error: {words}', result.stderr, re.M), result.stderr


@pytest.mark.parametrize(('said', 'status', 'expected'), [
    ('srun: error: n1: task 1: Exited with exit code 2\nsrun: error: n1: task 0: Exited with exit code 75', 75, 2),
    ('srun: error: n1: tasks 0-3: Exited with exit code 75', 75, 75),
    ('srun: error: n1: task 1: Exited with exit code 1\nsrun: error: n1: task 0: Terminated', 143, 1),
    ('srun: error: n1: task 1: Segmentation fault (core dumped)\nsrun: error: n2: task 3: Exited with exit code 75', 139, 139),
    ('srun: error: Unable to allocate resources: Invalid account', 1, 1),
])
def test_slurm_status_is_that_of_the_first_task(tmp_path, said, status, expected):
    cluster = Cluster(tmp_path, '8 (null)')
    cluster.program('srun', f"printf '{said}\\n' >&2; echo output; exit {status}")
    result = cluster.run('slurm_train.sh', 'CONFIG')
    assert (result.returncode, result.stdout) == (expected, 'output\n')
    assert said in result.stderr


def test_a_job_that_slurm_queued_again_resumes(tmp_path):
    cluster = Cluster(tmp_path, '8 (null)')
    for count, extra, expected in (('0', (), 0), ('1', (), 1), ('2', ('--resume', 'FILE'), 1)):
        result = cluster.run('slurm_train.sh', 'CONFIG', 'WORK', *extra, SLURM_RESTART_COUNT=count)
        assert result.stdout.split().count('--resume') == expected


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh', 'slurm_step.sh'])
def test_scripts_without_arguments_show_their_usage(name):
    result = tool(name)
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')


@pytest.mark.parametrize('arguments', [{'interval': 0}, {'interval': 1.5}, {'exit_code': 0}, {'exit_code': 256}])
def test_hook_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        PreemptionHook(**arguments)
