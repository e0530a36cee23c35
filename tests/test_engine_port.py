"""Two runs on one machine do not meet at the same port."""
from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support.tiny_run import ROOT, environment

from mmimb.engine import launch
from mmimb.engine.port import ARRAY_INDICES, JOB_IDS, job_port, torchrun_port


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in (*JOB_IDS, *ARRAY_INDICES, 'SLURM_STEP_ID', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)


def test_jobs_and_their_steps_have_ports_of_their_own(monkeypatch):
    assert job_port() is None
    ports = set()
    for job in range(4_000_000_000, 4_000_000_050):
        for step in range(5):
            monkeypatch.setenv('SLURM_JOB_ID', str(job))
            monkeypatch.setenv('SLURM_STEP_ID', str(step))
            ports.add(job_port())
    assert len(ports) == 250
    assert all(1024 < port < 32768 for port in ports)


@pytest.mark.parametrize(('name', 'value'), [('PBS_JOBID', '123.server'), ('LSB_JOBID', '123'), ('JOB_ID', '123')])
def test_other_schedulers(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert job_port() == 15000 + 31 * 123


@pytest.mark.parametrize(('job', 'index'), [('PBS_JOBID', 'PBS_ARRAY_INDEX'), ('LSB_JOBID', 'LSB_JOBINDEX'),
                                            ('JOB_ID', 'SGE_TASK_ID')])
def test_jobs_of_an_array_have_ports_of_their_own(monkeypatch, job, index):
    monkeypatch.setenv(job, '1234')
    ports = set()
    for member in range(100):
        monkeypatch.setenv(index, str(member))
        ports.add(job_port())
    assert len(ports) == 100
    monkeypatch.setenv(index, 'undefined')  # as SGE sets it outside an array
    assert job_port() == 15000 + (31 * 1234) % 15000


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_mmengine_is_given_the_port_of_the_job(monkeypatch, launcher):
    monkeypatch.setattr(launch, 'has_accelerator', lambda: True)
    for name in ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.setenv(name, '0')
    monkeypatch.setenv('SLURM_JOB_ID', '77')
    monkeypatch.setenv('MASTER_PORT', '5')  # so that it is taken back after the test
    launch.prepare_launch(SimpleNamespace(), launcher)
    assert os.environ['MASTER_PORT'] == '5'
    monkeypatch.delenv('MASTER_PORT')
    launch.prepare_launch(SimpleNamespace(), launcher)
    assert os.environ['MASTER_PORT'] == str(15000 + 31 * 77)


def test_torchrun_gets_a_port_unless_it_has_one(monkeypatch):
    for given in (['--master_port=1'], ['--master-port', '1'], ['--standalone'], ['--rdzv_endpoint=h:1']):
        assert torchrun_port(given) == []
    one, other = torchrun_port(['--nnodes=1']), torchrun_port([])
    assert one != other or one != ['--master_port=29500']
    assert torchrun_port(['--nnodes', '2']) == ['--master_port=29500']
    monkeypatch.setenv('SLURM_JOB_ID', '77')
    assert torchrun_port(['--nnodes=2', '--node_rank=1']) == [f'--master_port={15000 + 31 * 77}']
    monkeypatch.setenv('MASTER_PORT', '5')
    assert torchrun_port(['--nnodes=2']) == torchrun_port([]) == ['--master_port=5']


SCRIPT = '''
import sys, time, torch, torch.distributed as dist
dist.init_process_group('gloo')
value = torch.ones(1)
dist.all_reduce(value)
time.sleep(5)
sys.stdout.write(f'met {int(value)}\\n')  # in one piece: two processes write to one pipe
sys.stdout.flush()
dist.barrier()
'''


@pytest.mark.slow
def test_two_runs_at_once(tmp_path):
    """The default port of torchrun is for one of them; the other used to die on one rank, and to wait on the other."""
    (tmp_path / 'meet.py').write_text(SCRIPT)
    command = [sys.executable, '-m', 'mmimb.engine.torchrun', '--nproc_per_node=2', str(tmp_path / 'meet.py')]
    alone = {key: value for key, value in environment().items() if key not in ('MASTER_PORT', 'SLURM_JOB_ID')}
    runs = [subprocess.Popen(command, cwd=ROOT, env=alone, text=True, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [run.communicate(timeout=170)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert [output.count('met 2') for output in outputs] == [2, 2], outputs
