"""``mmimb COMMAND``: every command is there, light until it runs, and the scripts of tools/ are the same code."""
from __future__ import annotations

import json
import os
import runpy
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

import mmimb
from mmimb.commands.main import COMMANDS, build_parser, main, module_of
from mmimb.doctor.check import Finding
from mmimb.engine.config import read_config

SCRIPTS = {'train.py': 'train', 'test.py': 'test', 'tune_offsets.py': 'tune', 'compare_runs.py': 'compare',
           'doctor.py': 'doctor', 'explain.py': 'explain', 'make_demo_dataset.py': 'demo', 'scan_dataset.py': 'scan'}
HEAVY = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmseg', 'rich', 'matplotlib', 'yaml'}


def program(*arguments: str, cwd=ROOT, **more: str) -> subprocess.CompletedProcess:
    """The program in a process of its own, whose path begins with the folder of a script, as for the installed one."""
    code = 'import sys; sys.path[0] = sys.prefix; from mmimb.commands.main import run; run()'
    return subprocess.run([sys.executable, '-c', code, *arguments], cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), **more})


@pytest.mark.parametrize('arguments', [['--help'], *([*name.split(), '--help'] for name in COMMANDS)], ids=' '.join)
def test_help_takes_less_than_a_second_and_imports_nothing_heavy(arguments) -> None:
    before = os.times()
    code = (f'import sys; sys.argv = ["mmimb", *{arguments!r}]; sys.modules.update(dict.fromkeys({HEAVY!r}));'
            'from mmimb.commands.main import run; run()')
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f'usage: {" ".join(["mmimb", *arguments[:-1]])} ')
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1


def test_the_list_of_commands_has_the_first_line_of_each() -> None:
    text = ' '.join(build_parser().format_help().split())
    for name in COMMANDS:
        assert f'{name} {module_of(name).__doc__.splitlines()[0]}' in text


def test_a_command_is_a_module_and_a_module_a_command() -> None:
    modules = {path.stem for path in (ROOT / 'mmimb/commands').glob('*.py')}
    parts = {'__init__', 'main', 'next_line', 'run_options', 'scan_outputs'}
    assert {name.replace(' ', '_') for name in COMMANDS} == modules - parts


def test_no_command_and_an_unknown_one_tell_the_usage() -> None:
    for arguments in ([], ['weather']):
        result = program(*arguments)
        assert result.returncode == 2
        assert result.stderr.startswith('usage: mmimb ')
    assert program('--version').stdout == f'mmimb {mmimb.__version__}\n'


@pytest.mark.parametrize('name', SCRIPTS)
def test_a_script_is_its_command(name, monkeypatch) -> None:
    given = []
    monkeypatch.setattr(f'mmimb.commands.{SCRIPTS[name]}.run', lambda args: given.append(args) or 5)
    words = {'train': ['c.py'], 'test': ['c.py', 'x.pth'], 'tune': ['c.py', 'x.pth', '--out', 'y.pth'],
             'explain': ['c.py', 'x.pth'], 'compare': ['a=b.json'], 'scan': ['c.py']}.get(SCRIPTS[name], [])
    assert main([SCRIPTS[name], *words]) == 5
    monkeypatch.setattr(sys, 'argv', [name, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
    assert ended.value.code == 5
    assert given[0] == given[1]
    assert 'command' not in given[0]


def test_every_script_is_in_this_table() -> None:
    assert {path.name for path in (ROOT / 'tools').glob('*.py')} == set(SCRIPTS)


def test_modules_of_the_current_folder_are_found(tmp_path) -> None:
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'own_module.py').write_text('raise ValueError("`own_module` was imported")\n')
    (tmp_path / 'sub/c.py').write_text("custom_imports = dict(imports=['own_module'])\n")
    result = program('scan', 'sub/c.py', cwd=tmp_path)
    assert result.returncode == 2
    assert '`own_module` was imported' in result.stderr


def test_errors_are_one_line(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(['train', 'absent.py'])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: `config` must be an existing config file, got 'absent.py'\n"


def test_public_names_are_those_of_the_parts() -> None:
    """Each is what its part exports; a class that a part exports and a config can name is public."""
    for part, names in mmimb._PUBLIC.items():
        module = __import__(f'mmimb.{part}', fromlist=['__all__'])
        assert set(names) <= set(module.__all__)
        for name in names:
            assert getattr(mmimb, name) is getattr(module, name)
    from mmimb import registry
    registered = {name for kind in vars(registry).values() if hasattr(kind, 'module_dict') for name in kind.module_dict}
    assert 'LossHead' in registered
    assert registered - set(mmimb.__all__) == set()


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(AttributeError, match="module 'mmimb' has no attribute 'Loss'"):
        mmimb.Loss  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Loss'"):
        from mmimb import Loss  # noqa: F401
    assert 'ClassStats' in dir(mmimb)


@pytest.mark.parametrize('folder', ['data/demo', 'elsewhere'])
def test_the_demo_says_a_scan_that_there_is(folder, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr('mmimb.datasets.demo.make_demo_dataset', lambda *_, **__: True)
    assert main(['demo', folder]) == 0
    _, program, command, *words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    args = build_parser().parse_args([command, *words])
    assert (program, args.command, args.out, args.write_config) == ('mmimb', 'scan', f'{folder}/stats.json', 'demo_child.py')
    cfg = read_config(args.config, overrides=args.cfg_options)
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == folder


def test_the_doctor_says_what_to_mend_first(monkeypatch, capsys) -> None:
    good, warned = Finding('a', 'ok', 'fine'), Finding('b', 'warning', 'old', 'renew it')
    broken = Finding('c', 'failure', 'broken', 'mend it')
    for found, config, lines in (
            ([good], [], ['next: mmimb demo']), ([good], ['c.py'], ['next: mmimb train c.py']),
            ([good, warned], [], ['fix first: b: renew it', 'next: mmimb demo']),
            ([warned, broken], ['c.py'], ['fix first: c: mend it', 'next: mmimb doctor c.py'])):
        monkeypatch.setattr('mmimb.commands.doctor.run_checks', lambda *_, found=found, **__: found)
        assert main(['doctor', *config]) == int(broken in found)
        assert capsys.readouterr().out.splitlines()[-len(lines):] == lines
        main(['doctor', '--json', *config])
        json.loads(capsys.readouterr().out)


def test_the_next_command_has_the_overrides_of_this_one(tmp_path, capsys) -> None:
    from mmimb.commands.train import say_next
    say_next('c.py', tmp_path, True, ['data_root=x y'])
    assert capsys.readouterr().out.endswith("tuned.pth --cfg-options 'data_root=x y'\n")
    say_next('c.py', tmp_path)
    assert '--cfg-options' not in capsys.readouterr().out


def test_the_first_config_is_what_the_next_comparison_is_with(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr('mmimb.engine.seeds.train_seeds', lambda *_: 0)
    main(['train', 'zero.py', 'a.py', '--seeds', '0', '--work-dir', 'w'])
    assert capsys.readouterr().out == 'next: mmimb compare w --base zero\n'
    main(['train', 'zero.py', '--seeds', '0', '--work-dir', 'w'])
    assert capsys.readouterr().out == 'next: mmimb compare w\n'


def test_more_seeds_go_where_the_compared_ones_are(tmp_path, capsys) -> None:
    from mmimb.commands.compare import say_next
    args = build_parser().parse_args(['compare', str(tmp_path)])
    say_next(args, 2)
    assert f'--seeds 0-4 --work-dir {tmp_path} --test   (2 seeds so far' in capsys.readouterr().out
