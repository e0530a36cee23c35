"""tools/doctor.py in environments that are really broken: each fault is told with its fix, and ends no other check."""
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from support.trees import demo

from mmimb.doctor.check import CONFIG, Finding
from mmimb.doctor.config import config
from mmimb.doctor.isolate import run_checks
from mmimb.doctor.page import to_json, to_page, verdict
from mmimb.stack import installed_stacks

CRASH = 'import ctypes; ctypes.string_at(0)'
STACK = ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation', 'mmengine', 'mmcv', 'mmsegmentation')


def doctor(*arguments: object, path: Path | None = None, cwd: Path = ROOT, **env: str) -> tuple[int, dict]:
    """Run the tool with ``path`` before all that is installed; return its exit status and findings by name."""
    env = {**os.environ, **env, **({} if path is None else {'PYTHONPATH': str(path)})}
    command = [sys.executable, str(ROOT / 'tools/doctor.py'), '--json', *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    told = result.stderr.splitlines()
    assert [line for line in told if not re.fullmatch(r'\d+ of \d+ checks, now: .*', line)] == []  # one each 30 s
    data = json.loads(result.stdout)
    findings = {check['name']: Finding(**check) for check in data['checks']}
    assert data['status'] == verdict(list(findings.values()))
    return result.returncode, findings


def broken(folder: Path, **modules: str) -> Path:
    """Write modules that hide the installed ones of the same name."""
    for name, code in modules.items():
        (folder / name).mkdir()
        (folder / name / '__init__.py').write_text(code + '\n')
    return folder


def entry(folder: Path, **distributions: str) -> Path:
    """Write what an installed package leaves behind in site-packages."""
    for name, number in distributions.items():
        place = folder / f'{name}-{number}.dist-info'
        place.mkdir()
        (place / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name.replace("_", "-")}\nVersion: {number}\n')
    return folder


def test_this_environment_is_sound(tmp_path) -> None:
    status, found = doctor(cwd=tmp_path)
    assert {name: f for name, f in found.items() if f.status == 'failure'} == {}
    assert status == 0
    assert list(found) == ['python', 'mmimb', 'system', 'threads', 'shared memory', 'work_dirs', 'torch', 'numpy', 'opencv',
                           'pillow', 'stack', 'mmcv operators', 'pipeline', 'losses', 'checkpoints', 'kernels', 'data loader',
                           'two processes']
    import torch
    assert found['torch'].text.startswith(torch.__version__)
    assert all(f.seconds > 0 for f in found.values() if f.name in ('torch', 'two processes'))
    assert list(tmp_path.iterdir()) == [], 'nothing is left behind'


def test_without_torch_and_numpy_it_still_gives_its_page(tmp_path) -> None:
    missing = "raise ImportError('not for this machine')"
    status, found = doctor(path=broken(tmp_path, torch=missing, numpy=missing, mmengine=missing))
    assert status == 1
    assert len(found) == 18
    assert {name for name, f in found.items() if f.status == 'ok'} == {
        'python', 'mmimb', 'system', 'threads', 'shared memory', 'work_dirs'}
    assert found['torch'].text == 'ImportError: not for this machine'
    assert all(f.fix for f in found.values() if f.status == 'failure')


def test_a_library_that_opencv_lacks(tmp_path) -> None:
    fault = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    status, found = doctor('--only', 'opencv', 'pillow', path=broken(tmp_path, cv2=fault))
    assert status == 1
    assert found['opencv'].text.startswith('ImportError: libGL.so.1')
    assert 'apt-get install libgl1' in found['opencv'].fix
    assert found['pillow'].status == 'ok'


@pytest.mark.parametrize(('code', 'text'), [
    (CRASH, 'crashed with SIGSEGV at File '), ('import os; os.abort()', 'crashed with SIGABRT'),
    ('import os; os._exit(3)', 'ended with status 3'), ('import os; os._exit(0)', 'ended with status 0'),
    ('import os; os.kill(os.getpid(), 9)', 'crashed with SIGKILL'),
    ('raise SystemExit(0)', 'SystemExit: 0'), ('raise KeyboardInterrupt', 'crashed with SIGINT'),
    ('import os; print(1); os.write(1, b\'{"name": "pillow", "status": "ok", "text": ""}\\n\'); raise RuntimeError("a\\nb")',
     'RuntimeError: a b'),
], ids=['segfault', 'abort', 'exit', 'exit 0', 'killed', 'leaves', 'interrupt', 'noise'])
def test_a_crash_ends_one_check_only(tmp_path, code, text) -> None:
    status, found = doctor('--only', 'python', 'pillow', 'stack', path=broken(tmp_path, PIL=code))
    assert status == 1
    assert found['python'].status == 'ok'
    assert found['pillow'].text.startswith(text)
    assert found['pillow'].fix == 'pip install --force-reinstall pillow'
    assert 'stack' in found, 'the next check is run'


def test_a_hang_ends_one_check_only(tmp_path) -> None:
    start = time.monotonic()
    code = 'import subprocess, sys, time; subprocess.Popen(["sleep", "987"]); time.sleep(987)'
    _, found = doctor('--only', 'pillow', 'python', '--timeout', 5, path=broken(tmp_path, PIL=code))
    assert time.monotonic() - start < 60
    assert found['pillow'].text == 'does not answer within 5 s'
    assert found['python'].status == 'ok'
    processes = [p.read_bytes() for p in Path('/proc').glob('[0-9]*/cmdline') if p.exists()]
    assert b'sleep\x00987\x00' not in processes, 'its children are ended, too'


def test_noise_before_the_first_check(tmp_path) -> None:
    (tmp_path / 'sitecustomize.py').write_text('import os\nos.write(1, b"{}\\n[]\\n{\\"start\\nhello\\n")\n')
    result = subprocess.run([sys.executable, str(ROOT / 'tools/doctor.py'), '--only', 'threads'], cwd=ROOT, capture_output=True,
                            text=True, env={**os.environ, 'PYTHONPATH': str(tmp_path), 'OMP_NUM_THREADS': '1'}, check=False)
    assert result.returncode == 0
    assert 'ok       threads  OMP_NUM_THREADS is 1' in result.stdout


def test_two_stacks_over_each_other(tmp_path) -> None:
    both = entry(tmp_path, mmengine='0.10.7', onedl_mmengine='0.10.12')
    _, found = doctor('--only', 'stack', path=both)
    assert found['stack'].text.startswith('two stacks overwrite each other: onedl-mmengine 0.10.12, ')
    assert 'mmengine 0.10.7' in found['stack'].text
    assert 'fresh virtual environment' in found['stack'].fix


def test_files_that_another_package_has_overwritten(tmp_path) -> None:
    (packages, ) = installed_stacks().values()
    name, = (name for name in packages if name.endswith('mmcv'))
    folder = entry(tmp_path, **{name.replace('-', '_'): '9.9.9'})
    (folder / 'mmcv').mkdir()
    digests = {}
    for file in ('kept.py', 'changed.py'):
        (folder / 'mmcv' / file).write_text('one')
        digests[file] = base64.urlsafe_b64encode(hashlib.sha256(b'one').digest()).rstrip(b'=').decode()
    record = folder / f'{name.replace("-", "_")}-9.9.9.dist-info/RECORD'
    record.write_text(''.join(f'mmcv/{file},sha256={digest},3\n' for file, digest in digests.items()))
    assert doctor('--only', 'stack', path=folder)[1]['stack'].status == 'ok'
    (folder / 'mmcv/changed.py').write_text('two')
    _, found = doctor('--only', 'stack', path=folder)
    assert found['stack'].text == f'1 files of {name} are not those that it installed, such as mmcv/changed.py'
    assert 'fresh virtual environment' in found['stack'].fix


def test_mmcv_lite(tmp_path) -> None:
    _, found = doctor('--only', 'mmcv operators', path=entry(tmp_path, mmcv_lite='2.1.0'))
    assert found['mmcv operators'].status == 'failure'
    assert 'pip uninstall mmcv-lite' in found['mmcv operators'].fix


def test_two_opencvs(tmp_path) -> None:
    status, found = doctor('--only', 'opencv', path=entry(tmp_path, opencv_python='4.9.0', opencv_python_headless='4.9.0'))
    assert (status, found['opencv'].status) == (0, 'warning')
    assert found['opencv'].fix.startswith('pip uninstall opencv-python opencv-python-headless')


def test_numpy_that_torch_cannot_use(tmp_path) -> None:
    code = ("__version__ = '2.1.0+cpu'\ndef from_numpy(values):\n    raise RuntimeError('Numpy is not available')")
    _, found = doctor('--only', 'numpy', path=broken(tmp_path, torch=code))
    assert 'Numpy is not available' in found['numpy'].text
    assert "pip install 'numpy<2'" in found['numpy'].fix


@pytest.mark.parametrize(('value', 'status'), [('1', 'ok'), ('4096', 'warning'), ('many', 'warning'), ('0', 'warning')])
def test_threads(value, status) -> None:
    code, found = doctor('--only', 'threads', OMP_NUM_THREADS=value)
    assert (code, found['threads'].status) == (0, status)
    assert found['threads'].fix.startswith('export OMP_NUM_THREADS=') == (status == 'warning')


def test_a_folder_that_cannot_be_written_to() -> None:
    status, found = doctor('--only', 'work_dirs', cwd=Path('/proc'))
    assert status == 1
    assert found['work_dirs'].text.startswith('/proc cannot be written to: ')


def test_processes_that_do_not_find_each_other() -> None:
    _, found = doctor('--only', 'two processes', GLOO_SOCKET_IFNAME='none0')
    assert found['two processes'].status == 'failure'
    assert 'GLOO_SOCKET_IFNAME' in found['two processes'].fix


def test_a_config(tmp_path, monkeypatch) -> None:
    demo(tmp_path / 'data/demo')
    base = f"_base_ = '{ROOT}/configs/demo/fast-scnn_demo_ce.py'\nval_evaluator = dict(_delete_=True, type='IoUMetric')\n"
    base += 'test_evaluator = val_evaluator\n'
    (tmp_path / 'good.py').write_text(base)
    status, found = doctor('good.py', '--only', 'config', cwd=tmp_path)
    assert status == 0
    assert found['config'].text == ('good.py: 6 images to train, 2 images to validate, one of each loaded; statistics and '
                                    'losses fit')
    monkeypatch.chdir(tmp_path)
    for text, message, fix in (
            ("model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='mmimb.FocalLoss', gamma=-1)))",
             'model.decode_head.loss_decode: `gamma`', 'correct the config'),
            ("train_dataloader = dict(dataset=dict(data_root='nowhere'))", 'missing folder', 'expected tree'),
            ('train_dataloader = dict(dataset=dict(pipeline=[dict(type="NoSuch")]))', 'NoSuch', 'correct the config')):
        Path('bad.py').write_text(f'{base}{text}\n')
        monkeypatch.setenv(CONFIG, 'bad.py')
        answer = config()
        assert answer.status == 'failure'
        assert message in answer.text
        assert fix in answer.fix
    monkeypatch.setenv(CONFIG, 'none.py')
    assert "must be an existing config file, got 'none.py'" in config().text


def test_wrong_arguments() -> None:
    command = [sys.executable, str(ROOT / 'tools/doctor.py'), '--only', 'weather']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith('error: `only` must be among python, ')


def test_an_interruption_leaves_no_process(tmp_path) -> None:
    folder = broken(tmp_path, PIL='import subprocess, time; subprocess.Popen(["sleep", "986"]); time.sleep(986)')
    tool = subprocess.Popen([sys.executable, str(ROOT / 'tools/doctor.py'), '--only', 'pillow'], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': str(folder)},
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's `&` ignores it

    def asleep() -> bool:
        return any(p.read_bytes() == b'sleep\x00986\x00' for p in Path('/proc').glob('[0-9]*/cmdline') if p.exists())

    for _ in range(300):
        if asleep():
            break
        time.sleep(.1)
    tool.send_signal(signal.SIGINT)
    assert tool.communicate(timeout=30) == ('', 'stopped by SIGINT (exit status 130)\n')
    assert tool.returncode == 130
    assert not asleep()


def test_the_page_can_be_pasted() -> None:
    home = os.path.expanduser('~')
    findings = [Finding('one', 'ok', f'{home}/x'), Finding('longer', 'warning', 'words ' * 60, 'do this'),
                Finding('last', 'failure', 'broken', 'do that')]
    page = to_page(findings).splitlines()
    assert (page[0], page[1], page[-1]) == ('```text', 'mmimb doctor: 1 failure, 1 warning', '```')
    assert 'ok       one     ~/x' in page
    assert 'FAILURE  last    broken' in page
    assert '                 fix: do that' in page
    assert max(map(len, page)) <= 118
    assert json.loads(to_json(findings))['status'] == 'failure'
    assert 'all is well' in to_page(findings[:1])


def test_findings_come_in_order_with_progress() -> None:
    seen = []
    found = run_checks(None, ['work_dirs', 'python'], progress=lambda *told: seen.append(told))
    assert [f.name for f in found] == ['python', 'work_dirs']
    assert [told for told in seen if not told[2]] == [(1, 2, ''), (2, 2, '')]
