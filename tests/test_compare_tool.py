"""tools/compare_runs.py as users call it: output, files, bad input."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_compare import CE, CLASSES, MSE, result, write

from mmimb.commands import main as commands

TOOL = Path(__file__).parents[1] / 'tools/compare_runs.py'


@pytest.fixture
def main():
    return lambda arguments: commands.main(['compare', *arguments])


def fails(main, capsys, *argv):
    """Run the tool, which must end with status 2 and one line; return the line."""
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ''
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    return err


def test_command_line(tmp_path):
    ce, mse = write(tmp_path / 'ce.json', result(CE)), write(tmp_path / 'mse.json', result(MSE))
    out = tmp_path / 'new' / 'figure.png'
    done = subprocess.run([sys.executable, TOOL, f'ce={ce}', f'mse={mse}', '--out', out, '--csv', tmp_path / 'all.csv'],
                          env={**os.environ, 'PYTHONPATH': str(TOOL.parents[1]), 'COLUMNS': '40'}, capture_output=True,
                          text=True, check=True)
    assert done.stderr == ''
    row = next(line for line in done.stdout.splitlines() if line.startswith('│ mIoU_tail '))
    assert row.replace(' ', '') == '│mIoU_tail│5.00│14.00│+9.00│'  # nothing cut, however narrow the terminal
    assert 'One seed proves nothing' in ' '.join(done.stdout.split())
    assert f'wrote {out}' in done.stdout
    assert out.read_bytes().startswith(b'\x89PNG')
    head = 'run,metric,class,group,mean,std,n,difference to ce,pairs,low over seeds,'
    assert (tmp_path / 'all.csv').read_text().startswith(head)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['all.csv', 'ce.json', 'mse.json', 'new']
    assert [p.name for p in out.parent.iterdir()] == ['figure.png']


def test_odd_names_are_shown_as_they_are(main, capsys, tmp_path):
    main(['[red]a=' + write(tmp_path / 'a=b.json', result(CE, {}, ['[b]', '$x', '_y', 'z', 'é', 'w']))])
    out = capsys.readouterr().out
    assert '[red]a' in out
    assert '│ [b] ' in out


BAD = {
    'no name': ('{ok}', 'must be a work folder, or have the form NAME=FILE'),
    'empty name': ('={ok}', 'have the form NAME=FILE'),
    'empty file': ('a={ok},', 'have the form NAME=FILE'),
    'missing': ('a=nowhere.json', "got 'nowhere.json' (no such file)"),
    'folder': ('a={folder}', 'must name work folders of runs'),
    'same name': ('ok={ok}', "distinct names, got 'ok' twice"),
    'same file': ('a={ok},{ok}', 'every file once'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_argument(main, capsys, tmp_path, case):
    spec, message = BAD[case]
    ok = write(tmp_path / 'ok.json', result(CE))
    spec = spec.format(ok=ok, folder=tmp_path)
    line = fails(main, capsys, f'ok={ok}', spec, '--out', tmp_path / 'x.png', '--csv', tmp_path / 'x.csv')
    assert message in line
    assert [p.name for p in tmp_path.iterdir()] == ['ok.json']


def metrics(**changes):
    data = result(CE)
    data['metrics'].update(changes)
    return data


def without(key):
    data = result(CE)
    del data['metrics'][key]
    return data


CONTENT = {
    'no json': ('{', 'must be JSON'),
    'a list': ([1], 'must hold `metrics`'),
    'no metrics': ({'classes': CLASSES}, "must hold `metrics` as `mmimb test --out` writes them, got ['classes']"),
    'no classes': (dict(result(CE), classes=None), '`classes` must be a list of distinct class names, got None'),
    'empty classes': (dict(result(CE), classes=[]), '`classes` must have at least one'),
    'same class': (dict(result(CE), classes=['a', 'a']), '`classes` must be a list of distinct class names'),
    'other classes': (result(CE, {'tail': ['bike']}, [*CLASSES[:5], 'tree']), '`classes` must be the same in all files'),
    'other groups': (result(CE, {'tail': ['sky']}), '`groups` must be the same in all files'),
    'unknown in group': (result(CE, {'tail': ['tree']}), '`groups` must hold names of `classes`'),
    'class in two groups': (result(CE, {'head': ['sky'], 'tail': ['sky']}), '`groups` must hold names of `classes`'),
    'groups a list': (dict(result(CE), groups=['sky']), '`groups` must be an object'),
    'nan': (metrics(mIoU=float('nan')), '`mIoU` must be a number in [0, 100], got nan'),
    'null': (metrics(aAcc=None), '`aAcc` must be a number in [0, 100], got None'),
    'nan overall': (metrics(mAcc=float('nan')), '`mAcc` must be a number in [0, 100], got nan'),
    'infinite': (metrics(mIoU_tail=float('inf')), '`mIoU_tail` must be a number in [0, 100], got inf'),
    'too large': (metrics(mIoU=100.5), 'got 100.5'),
    'negative': (metrics(**{'Acc.car': -1}), 'got -1'),
    'text': (metrics(mIoU='46'), "got '46'"),
    'bool': (metrics(mIoU=True), 'got True'),
    'unknown class': (metrics(**{'IoU.tree': 3}), "`IoU.tree` must be of one of `classes`, got 'tree'"),
    'no mAcc': (without('mAcc'), 'got no mAcc'),
    'no IoU': ({'metrics': {'mIoU': 1, 'mAcc': 1, 'aAcc': 1}, 'classes': CLASSES}, 'got no IoU.<class>'),
    'seed': (dict(result(CE), seed='0'), "`seed` must be an integer or null, got '0'"),
}


@pytest.mark.parametrize('case', CONTENT)
def test_bad_file(main, capsys, tmp_path, case):
    data, message = CONTENT[case]
    ok, bad = write(tmp_path / 'ok.json', result(MSE)), write(tmp_path / 'bad.json', data)
    for specs in ([f'ok={ok}', f'bad={bad}'], [f'ok={ok},{bad}']):
        line = fails(main, capsys, *specs, '--out', tmp_path / 'x.png', '--csv', tmp_path / 'x.csv')
        assert message in line
        assert 'bad' in line  # the file or its name
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bad.json', 'ok.json']


def test_models_of_other_classes_are_not_compared(main, capsys, tmp_path):
    first, second = dict(result(CE), model_classes=CLASSES), dict(result(MSE), model_classes=['x', *CLASSES[1:]])
    a, b = write(tmp_path / 'a.json', first), write(tmp_path / 'b.json', second)
    for specs in ([f'a={a}', f'b={b}'], [f'a={a},{b}']):
        assert '`model_classes` must be the same in all files' in fails(main, capsys, *specs)
    main([f'a={a}', f'b={write(tmp_path / "c.json", result(MSE))}'])  # unknown


def test_foreign_metrics_and_undefined_scores_are_fine(main, capsys, tmp_path):
    data = metrics(**{'time': 0.3, 'mDice': None, 'mIoU_tail': float('nan'), 'Acc.car': None, 'Precision.car': float('nan')})
    main([f'a={write(tmp_path / "a.json", data)}', '--csv', str(tmp_path / 'x.csv')])
    assert 'a,mIoU_tail,,tail,,,0,' in (tmp_path / 'x.csv').read_text()


@pytest.mark.parametrize(('argv', 'message'), [
    (['--out', 'x.jpg'], "`--out` must be a path that ends with .png or .pdf or .svg, got 'x.jpg'"),
    (['--csv', 'x.png'], "`--csv` must be a path that ends with .csv, got 'x.png'"),
    (['--out', 'ok.json/x.png'], 'ok.json'), (['--out', 'new.png', '--csv', 'ok.json/x.csv'], 'ok.json'),
    (['--out', 'new.png', '--csv', 'folder.csv'], 'folder.csv'), (['--csv', 'kept.csv', '--out', 'folder.png'], 'folder.png'),
])
def test_bad_output(main, capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    Path('folder.png').mkdir()
    Path('folder.csv').mkdir()
    Path('kept.csv').write_text('old')
    Path('ok.json').write_text(json.dumps(result(CE)))
    assert message in fails(main, capsys, 'ok=ok.json', *argv)
    assert sorted(os.listdir()) == ['folder.csv', 'folder.png', 'kept.csv', 'ok.json']
    assert Path('kept.csv').read_text() == 'old'
