"""Several seeds: one after the other, killed and gone on with, skipped, shared, and as a job array."""
from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_run import (
    ROOT,
    environment,
    error_line,
    make_config,
    refused,
    same_weights,
    start,
    tiny,
    tool,
    wait_until,
)

from mmimb.analysis import load
from mmimb.analysis.scalars import validations
from mmimb.engine.child import Child, tail
from mmimb.engine.seeds import SeedOptions, parse_seeds, plan, train_seeds
from mmimb.engine.slurm_array import slurm_array
from mmimb.files import is_locked, locked
from mmimb.signals import Stopped

__all__ = ['tiny']  # a fixture


@pytest.mark.parametrize(('text', 'seeds'), [('3', [3]), ('0-4', [0, 1, 2, 3, 4]), ('7, 0-1', [7, 0, 1]), ('10-10', [10])])
def test_seeds_of_a_text(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize('text', ['', 'a', '1-', '-1', '4-0', '1,,2', '1-2-3', '1.5', '0-99999', '1,0-3'])
def test_bad_seeds(text):
    with pytest.raises(ValueError, match='`--seeds` must '):
        parse_seeds(text)


def options_of(tiny, work, **more):
    return SeedOptions(**{'configs': [str(tiny.config)], 'seeds': [3, 4], 'work_dir': str(work), **more})


def scores(work: Path) -> dict:
    """The validations of a run without what the clock gives."""
    return {step: {k: repr(v) for k, v in row.items() if 'time' not in k} for step, row in validations(work).items()}


def without_progress(lines):
    """The lines that do not come every 30 s, on a busy machine."""
    return [line for line in lines if not line.endswith((': starting', ' of 8'))]


@pytest.mark.slow
def test_killed_inside_and_between_seeds_it_gives_what_it_gives_without_a_kill(tiny, tmp_path):
    """Seed 3 is that of the reference, ``tiny.work``."""
    log = tmp_path / 'log'

    def runs():
        return start('train.py', tiny.config, '--seeds', '3,4', '--work-dir', tmp_path / 'w', log=log)

    folder = tmp_path / 'w/tiny/seed-3'
    last = folder / 'last_checkpoint'
    for _ in range(8):  # a kill may come too late to be inside of the run
        process = runs()
        wait_until(lambda: last.is_file() and 'iter_4' in last.read_text(), process)
        training = [pid for file in Path(f'/proc/{process.pid}/task').glob('*/children') for pid in file.read_text().split()]
        process.kill()  # alone: the training must end with it
        process.wait(30)
        wait_until(lambda pids=training: not any(Path(f'/proc/{pid}').exists() for pid in pids))
        if last.read_text().endswith('iter_4.pth'):
            break
        shutil.rmtree(tmp_path / 'w')
    assert training
    assert not is_locked(folder / 'lock')
    assert json.loads((folder / 'run.json').read_text())['state'] == 'started'

    process = runs()
    wait_until(lambda: '[2/2] tiny, seed 4: training' in log.read_text(), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    assert same_weights(folder / 'iter_8.pth', tiny.work / 'iter_8.pth')
    assert scores(folder) == scores(tiny.work)
    assert list(scores(folder)) == [4, 8]

    process = runs()
    assert process.wait(120) == 0, log.read_text()
    lines = without_progress(log.read_text().splitlines())
    assert lines[0] == '[1/2] tiny, seed 3: done already'
    assert lines[1].startswith('[2/2] tiny, seed 4: training (log: ')
    assert lines[2:] == ['2 of 2 runs are trained', f'next: mmimb compare {tmp_path / "w"}']
    run, = load([str(tmp_path / 'w')]).runs
    assert (run.name, run.seeds) == ('tiny', (3, 4))
    assert not same_weights(folder / 'iter_8.pth', tmp_path / 'w/tiny/seed-4/iter_8.pth')


@pytest.mark.slow
def test_a_validation_that_a_kill_took_comes_first(tiny, tmp_path):
    """The checkpoint of iteration 8 is there, its validation is not."""
    work = shutil.copytree(tiny.work, tmp_path / 'w')
    expected = scores(work)
    file, = work.glob('*/vis_data/scalars.json')
    lines = [line for line in file.read_text().splitlines(keepends=True) if '"mIoU"' not in line or '"step": 8' not in line]
    file.write_text(''.join(lines))
    assert list(scores(work)) == [4]
    result = tool('train.py', tiny.config, '--work-dir', work, '--resume')
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'the validation at 8 is missing in the logs of this run: it comes first' in result.stdout
    assert scores(work) == expected


@pytest.fixture(scope='module')
def finished(tiny, tmp_path_factory):
    """The folder of ``--seeds 3`` after training, made of the run that is there."""
    work = tmp_path_factory.mktemp('finished')
    run, = plan(options_of(tiny, work, seeds=[3]))
    shutil.copytree(tiny.work, run.folder)
    record = {'name': run.name, 'config': run.config, 'seed': 3, 'settings': run.settings, 'state': 'trained'}
    (run.folder / 'run.json').write_text(json.dumps(record))
    return work


@pytest.mark.slow
def test_what_is_trained_is_tested_and_then_skipped(tiny, finished, tmp_path):
    work, lines = shutil.copytree(finished, tmp_path / 'w'), []
    folder = work / 'tiny/seed-3'
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*.pth')}
    assert train_seeds(options_of(tiny, work, seeds=[3], test=True), lines.append) == 0
    assert lines == [f'[1/1] tiny, seed 3: testing (log: {folder / "test.log"})', '1 of 1 runs are trained and tested']
    assert json.loads((folder / 'metrics.json').read_text())['seed'] == 3
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*.pth')} == before
    assert train_seeds(options_of(tiny, work, seeds=[3], test=True), lines.append) == 0
    assert lines[2] == '[1/1] tiny, seed 3: done already'
    run, = load([str(work)]).runs
    assert run.seeds == (3, )
    assert run.reports == (folder / 'metrics.json', )


@pytest.mark.slow
def test_a_run_that_fails_shows_why_and_spares_its_config(tiny, tmp_path):
    """A config that is only found wrong when training begins: its other seeds are left out."""
    bad = make_config(tmp_path / 'bad.py', tmp_path / 'nowhere', tiny.stats)
    lines = []
    assert train_seeds(options_of(tiny, tmp_path / 'w', configs=[str(bad)], seeds=[0, 1]), lines.append) == 2
    lines = without_progress(lines)
    assert 'failed with status 2; the end of' in lines[1]
    assert 'error: ' in lines[1]
    assert lines[2:] == ['[2/2] bad, seed 1: left out, its config has just failed',
                         '0 of 2 runs are trained, failed: bad seed 0, bad seed 1']


def test_several_processes_and_options_reach_every_run(tiny, tmp_path, monkeypatch):
    """What is started, in words; that torchrun and the tools take them is tested with these."""
    started = []

    class Child:
        def __init__(self, command, log, lock):
            started.append(command)

        def wait(self, tick):
            (tmp_path / 'w/tiny/seed-3/last_checkpoint').write_text(str(tiny.work / 'iter_8.pth'))
            return 0

    monkeypatch.setattr('mmimb.engine.seeds.Child', Child)
    options = options_of(tiny, tmp_path / 'w', seeds=[3], test=True, processes=2, trust_checkpoint=True,
                         cfg_options=['train_cfg.max_iters=9', 'a=1'])
    assert train_seeds(options, lambda line: None) == 0
    common = ['--trust-checkpoint', '--cfg-options', 'train_cfg.max_iters=9', 'a=1', '--launcher', 'pytorch']
    folder = str(tmp_path / 'w/tiny/seed-3')
    torchrun = [sys.executable, '-m', 'mmimb.engine.torchrun', '--nproc_per_node=2', '-m', 'mmimb']
    assert started == [
        [*torchrun, 'train', str(tiny.config), '--work-dir', folder, '--seed', '3', '--resume', *common],
        [*torchrun, 'test', str(tiny.config), str(tiny.work / 'iter_8.pth'), '--work-dir', f'{folder}/test', '--out',
         f'{folder}/metrics.json', *common]]


def test_another_process_keeps_its_run(tiny, finished):
    lines = []
    with locked(finished / 'tiny/seed-3/lock'):
        assert train_seeds(options_of(tiny, finished, seeds=[3]), lines.append) == 0
    assert lines == ['[1/1] tiny, seed 3: another process works on it', '0 of 1 runs are trained, 1 in other processes']


def test_seeds_are_outermost_and_names_must_differ(tiny, tmp_path):
    other = make_config(tmp_path / 'other.py', tiny.data, tiny.stats)
    runs = plan(options_of(tiny, tmp_path, configs=[str(tiny.config), str(other)]))
    assert [(run.name, run.seed) for run in runs] == [('tiny', 3), ('other', 3), ('tiny', 4), ('other', 4)]
    assert runs[1].folder == tmp_path / 'other/seed-3'
    assert runs[0].settings == runs[1].settings, 'the same settings in another file'
    (tmp_path / 'sub').mkdir()
    twin = shutil.copy(tiny.config, tmp_path / 'sub')
    with pytest.raises(ValueError, match="different names, after which folders are named, got 'tiny' twice"):
        plan(options_of(tiny, tmp_path, configs=[str(tiny.config), str(twin)]))


def test_a_run_of_other_settings_is_not_gone_on_with(tiny, finished):
    with pytest.raises(ValueError, match=r"must hold runs of the same settings, got '.*seed-3'"):
        plan(options_of(tiny, finished, cfg_options=['optim_wrapper.optimizer.lr=0.02']))


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--seeds', '4-0'], 'such as 0-4 or 0,2,5-7'), (['--seeds', '0', '--seed', '1'], 'without --seed 1'),
    (['--seeds', '0', '--resume', 'x.pth'], 'without --resume x.pth'), (['--test'], '`--test` must be given with --seeds'),
    (['--slurm-array'], '`--slurm-array` must be given with --seeds'), (['second.py'], 'one config without --seeds, got 2'),
    (['--seeds', '0', '--launcher', 'pytorch'], 'without --launcher'), (['--seeds', '0', '--processes', '0'], 'at least 1')])
def test_bad_arguments_are_one_line(tiny, tmp_path, arguments, words):
    line = error_line(refused('train.py', tiny.config, *arguments, '--work-dir', tmp_path / 'w'))
    assert words in line
    assert not (tmp_path / 'w').exists()


SLEEPER = '''
import signal, sys, time
def stop(number, frame):
    print(f'got {number}', flush=True)
    sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGTERM, stop)
print('ready', flush=True)
time.sleep(60)
'''


@pytest.mark.parametrize('status', [75, 0])
def test_a_child_gets_the_signal_and_its_status_counts(tmp_path, status):
    """Also where it had just finished: then this process stops, and the run counts as done."""
    log = tmp_path / 'log'

    def tick():
        if log.read_text().startswith('ready'):
            os.kill(os.getpid(), signal.SIGTERM)

    with locked(tmp_path / 'lock') as lock:
        child = Child([sys.executable, '-c', SLEEPER, str(status)], log, lock)
        if status:
            assert child.wait(tick, 0.1) == status
        else:
            with pytest.raises(Stopped):
                child.wait(tick, 0.1)
    assert tail(log, 1) == f'got {int(signal.SIGTERM)}'


def test_a_killed_child_has_a_status_of_its_own(tmp_path):
    with locked(tmp_path / 'lock') as lock:
        assert Child(['sh', '-c', 'kill -9 $$'], tmp_path / 'log', lock).wait(lambda: None) == 137


@pytest.mark.parametrize(('task', 'config', 'seed'), [(0, 'tiny.py', 3), (1, 'my other.py', 3), (3, 'my other.py', 4)])
def test_the_array_has_a_task_for_each_run(tiny, tmp_path, task, config, seed):
    """The script runs under bash, with an srun that shows what it would start, and leaves like a stopped training."""
    other = make_config(tmp_path / 'my other.py', tiny.data, tiny.stats)
    script = slurm_array(options_of(tiny, tmp_path / 'w x', configs=[str(tiny.config), str(other)], test=True,
                                    cfg_options=['a.b="[1,2]"']))
    assert '#SBATCH --array=0-3\n' in script
    assert not (tmp_path / 'w x').exists()
    for name, text in {'srun': 'printf "<%s>" "$@"\nexit 75', 'scontrol': 'echo; echo scontrol "$@"'}.items():
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    env = environment(SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_JOB_ID='77', PATH=f'{tmp_path}:{os.environ["PATH"]}')
    result = subprocess.run(['bash', '-c', script], env=env, text=True, capture_output=True, check=False)
    assert result.returncode == 75
    assert result.stderr == ''
    words, after = result.stdout.strip().split('\n')
    assert after == f'scontrol requeue 77_{task}'
    place = str(tiny.folder if config == 'tiny.py' else tmp_path)
    assert words.endswith(f'<train><{place}/{config}><--seeds><{seed}><--work-dir><{tmp_path}/w x><--test>'
                          '<--cfg-options><a.b="[1,2]">')
    assert words.startswith('<--ntasks=1><')


def test_nothing_of_the_repository_is_on_the_path_twice():
    """A child finds this package, wherever it starts."""
    from mmimb.engine.child import environment as childs
    assert childs()['PYTHONPATH'].split(os.pathsep)[0] == str(ROOT)
