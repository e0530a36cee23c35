"""SIGTERM, SIGUSR1 and SIGINT: the same answer from all tools, from their first import on."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tiny_run import ROOT, environment, make_dataset, wait_until

from mmimb.signals import AGAIN

SLOW = '''
import time
try:
    open('importing', 'w').close()
    time.sleep(60)
finally:
    {after}
'''
TOOLS = {'train.py': ['c.py'], 'test.py': ['c.py', 'c.pth'], 'scan_dataset.py': ['c.py'], 'make_demo_dataset.py': ['demo'],
         'compare_runs.py': ['a=a.json'], 'dataset_converters/camvid.py': ['a', 'b']}


def importing(tmp_path: Path, name: str, after: str = 'pass', ignored: bool = False) -> subprocess.Popen:
    """Start a tool, and return it while it imports what it needs."""
    for package in ('torch', 'mmengine', 'rich'):
        (tmp_path / f'{package}.py').write_text(SLOW.format(after=after))
    env = environment()
    env['PYTHONPATH'] = os.pathsep.join([str(tmp_path), env['PYTHONPATH']])
    process = subprocess.Popen([sys.executable, str(ROOT / 'tools' / name), *TOOLS[name]], cwd=tmp_path, env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL))
    wait_until((tmp_path / 'importing').exists, process)
    return process


@pytest.mark.parametrize(('name', 'number', 'status'), [
    *((name, signal.SIGTERM, 75) for name in TOOLS), ('train.py', signal.SIGUSR1, 75), ('scan_dataset.py', signal.SIGINT, 130)])
def test_one_line_and_a_status_while_it_imports(tmp_path, name, number, status):
    process = importing(tmp_path, name)
    os.killpg(process.pid, number)
    assert process.communicate(timeout=30) == ('', f'stopped by {number.name} (exit status {status})\n')
    assert process.returncode == status


def test_a_second_signal_ends_at_once(tmp_path):
    process = importing(tmp_path, 'train.py', after='time.sleep(60)')
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGTERM)  # belongs to the first
    time.sleep(AGAIN + 0.5)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 75
    process.communicate()


def test_a_background_process_of_a_shell_goes_on_ignoring_ctrl_c(tmp_path):
    process = importing(tmp_path, 'train.py', ignored=True)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75


CONFIG = '''
custom_imports = dict(imports=['slow_load'])
default_scope = 'mmseg'
train_dataloader = dict(dataset=dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.png', metainfo=dict(classes=('a', 'b', 'c')),
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='SlowLoad'), dict(type='PackSegInputs')]))
'''
MODULE = '''
import time
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

@TRANSFORMS.register_module()
class SlowLoad(LoadAnnotations):
    def transform(self, results):
        open('reading', 'w').close()
        time.sleep(60)

SlowLoad.__module__ = 'mmseg.slow_load'  # a transform of another package is tried before anything is read
'''


@pytest.mark.slow
@pytest.mark.parametrize(('number', 'status', 'workers'), [(signal.SIGTERM, 75, 2), (signal.SIGINT, 130, 0)])
def test_a_scan_says_how_to_go_on(tmp_path, number, status, workers):
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(make_dataset(tmp_path / 'data'))))
    (tmp_path / 'slow_load.py').write_text(MODULE)
    env = environment()
    env['PYTHONPATH'] = os.pathsep.join([str(tmp_path), env['PYTHONPATH']])
    log = tmp_path / 'log'
    with log.open('w') as file:
        command = [sys.executable, str(ROOT / 'tools/scan_dataset.py'), 'config.py', '--workers', str(workers)]
        process = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True, stdout=file, stderr=file,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_until((tmp_path / 'reading').exists, process)
    os.killpg(process.pid, number)
    assert process.wait(30) == status
    assert log.read_text().splitlines()[-1] == (
        f'stopped by {number.name} (exit status {status}); --resume goes on with what is in config.stats.json.parts')
    assert 'Traceback' not in log.read_text()
