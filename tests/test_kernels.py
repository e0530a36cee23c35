"""The Triton kernels in processes of their own: checked in the interpreter or on a GPU, compiled for GPUs that are not here."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from shutil import which

import pytest
import torch
from conftest import ROOT

if not (ROOT / 'mmimb/kernels/__init__.py').is_file():
    pytest.skip('mmimb/kernels was deleted', allow_module_level=True)
if find_spec('triton') is None:
    pytest.skip('Triton is not installed', allow_module_level=True)


def run(*command: str, under: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess:
    """Run Python; Triton chooses between interpreter and compiler once per process, when it is imported."""
    clean = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    return subprocess.run([*under, sys.executable, *command], cwd=ROOT, env={**clean, **environment}, capture_output=True,
                          text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize('file', ['kernel_checks.py', 'kernel_uses.py', 'kernel_argmax.py'])
def test_in_a_process_of_their_own(file) -> None:
    mode = {} if torch.cuda.is_available() else {'TRITON_INTERPRET': '1'}
    result = run('-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'tests/support/{file}', **mode)
    summary = result.stdout.strip().splitlines()[-1]
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert 'passed' in summary
    assert 'skipped' not in summary


@pytest.mark.slow
def test_memory_in_the_interpreter() -> None:
    result = run('-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/support/kernel_memory.py', TRITON_INTERPRET='1')
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize('tool', ['memcheck', 'racecheck'])
def test_memory_on_a_gpu(tool) -> None:
    sanitizer = which('compute-sanitizer')
    if not torch.cuda.is_available() or sanitizer is None:
        pytest.skip('needs a GPU and compute-sanitizer')
    result = run('-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/support/kernel_uses.py', '-k', 'bit_equal',
                 under=(sanitizer, '--tool', tool, '--error-exitcode', '9'), PYTORCH_NO_CUDA_MEMORY_CACHING='1')
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]


@pytest.fixture(scope='module')
def binaries(tmp_path_factory) -> list[dict]:
    result = run('tests/support/kernel_compile.py', TRITON_CACHE_DIR=str(tmp_path_factory.mktemp('cache')))
    assert result.returncode == 0, result.stderr[-5000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_compiles_ahead_of_time(binaries) -> None:
    assert {(row['kernel'], row['target']) for row in binaries} == {
        (kernel, target) for kernel in ('statistics', 'gather', 'pointwise', 'largest') for target in (80, 90)}
    for row in binaries:
        assert f'.target sm_{row["target"]}' in row['ptx']
        assert row['shared'] <= 48 * 1024  # what every program may have on every GPU


def test_binaries_add_nothing_atomically(binaries) -> None:
    assert not [row['kernel'] for row in binaries if re.search(r'\b(atom|red)\.', row['ptx'])]


def test_binaries_use_the_fast_exponential(binaries) -> None:
    slow = [row['kernel'] for row in binaries if re.search(r'ex2\.approx\.f32|__nv_expf', row['ptx'])]
    assert not slow
    assert any('ex2.approx.ftz.f32' in row['ptx'] for row in binaries)


def test_registers_suffice(binaries) -> None:
    stacks = [int(number) for row in binaries for number in re.findall(r'STACK:(\d+)', row['resources'])]
    if not stacks:
        pytest.skip('this Triton has no tool that tells registers')
    assert max(stacks) <= 16


def test_large_logits_get_64_bit_places(binaries) -> None:
    assert {row['kernel'] for row in binaries if row['wide']} == {'statistics', 'gather', 'pointwise', 'largest'}


def test_cpu_tensors_are_refused_with_a_reason() -> None:
    code = ('import torch\nfrom mmimb import kernels\nz = torch.zeros(1, 2, 2, 2)\n'
            "print(kernels.supports('cross_entropy', z))\n"
            'kernels.upsampled_cross_entropy(z, torch.zeros(1, 4, 4, dtype=torch.long), torch.ones(1, 4, 4))')
    result = run('-c', code)
    assert result.stdout.strip() == "the logits are on 'cpu', the kernels run on NVIDIA GPUs"
    assert 'ValueError: `logits` must be what the kernels support, but the logits are on' in result.stderr


@pytest.mark.parametrize('module', ['mmimb.functional', 'mmimb.losses', 'mmimb.heads'])
def test_nothing_needs_triton(module) -> None:
    assert run('-c', f"import sys; sys.modules['triton'] = None; import {module}").returncode == 0
