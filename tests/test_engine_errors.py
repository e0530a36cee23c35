"""The one-line errors of the tools."""
import json
import subprocess
import sys

import pytest

from mmimb.engine.errors import describe, one_line_errors


def run(error, capsys):
    with pytest.raises(SystemExit) as exit_info, one_line_errors():
        raise error
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.count('\n') == 1
    return captured.err


def test_message_and_status(capsys):
    assert run(ImportError('no stack'), capsys) == 'error: no stack\n'
    assert run(FileNotFoundError(2, 'No such file or directory', 'a.json'), capsys).endswith("directory: 'a.json'\n")


def test_lines_are_joined(capsys):
    assert run(OSError('a\n   b\n'), capsys) == 'error: a b\n'


def test_own_errors_are_left_as_they_are(capsys):
    from mmimb.stats import ClassStats
    with pytest.raises(SystemExit), one_line_errors():
        ClassStats(pixels=())
    assert capsys.readouterr().err.startswith('error: `pixels` must')


def test_foreign_errors_name_their_type(capsys):
    with pytest.raises(SystemExit), one_line_errors():
        json.loads('{')
    assert '(JSONDecodeError; MMIMB_TRACEBACK=1 shows where)' in capsys.readouterr().err


def test_detail_follows_the_line(capsys):
    error = FileNotFoundError('no data')
    error.detail = 'tree\nof files'
    with pytest.raises(SystemExit), one_line_errors():
        raise error
    assert capsys.readouterr().err == 'error: no data\ntree\nof files\n'


def test_empty_message_names_the_type(capsys):
    assert run(ValueError(), capsys).startswith('error: ValueError')


def test_rank_is_named_only_in_a_distributed_run(capsys, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '1')
    monkeypatch.setenv('RANK', '0')
    assert run(OSError('x'), capsys) == 'error: x\n'
    monkeypatch.setenv('WORLD_SIZE', '4')
    monkeypatch.setenv('RANK', '3')
    assert run(OSError('x'), capsys) == 'error: rank 3: x\n'


@pytest.mark.parametrize('error', [RuntimeError('x'), AssertionError('x'), KeyError('x'), IndexError('x')])
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)), one_line_errors():
        raise error


@pytest.mark.parametrize('error', [
    RuntimeError('[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:25477'),
    ConnectionResetError(104, 'Connection reset by peer')])
def test_a_lost_peer_is_a_line_with_another_status(error, capsys):
    with pytest.raises(SystemExit) as exit_info, one_line_errors():
        raise error
    assert exit_info.value.code == 1
    assert capsys.readouterr().err == 'error: another process of this run has ended; its message says why\n'


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv('MMIMB_TRACEBACK', '1')
    with pytest.raises(ValueError, match='x'), one_line_errors():
        raise ValueError('x')
    monkeypatch.setenv('MMIMB_TRACEBACK', '0')
    with pytest.raises(SystemExit), one_line_errors():
        raise ValueError('x')


@pytest.mark.parametrize('name', ['mmimb.NoSuchLoss', 'NoSuchLoss', 'nowhere.NoSuchLoss'])
def test_an_unknown_type_in_a_config_is_one_line(name, capsys):
    from mmengine.registry import MODELS
    with pytest.raises(SystemExit), one_line_errors():
        MODELS.build({'type': name})
    assert 'NoSuchLoss' in capsys.readouterr().err


@pytest.mark.parametrize(('kind', 'name', 'meant'), [
    ('model', 'mmimb.LogitAdjustmentLos', 'mmimb.LogitAdjustmentLoss'),
    ('model', 'OutlyingMSELoss', 'mmimb.OutlyingMSELoss'),
    ('model', 'mmimb.inversefrequency', 'mmimb.InverseFrequency'),
    ('model', 'FCNHed', 'FCNHead'),
    ('metric', 'LongTailIoUMetrik', 'mmimb.LongTailIoUMetric'),
    ('transform', 'RandmFlip', 'RandomFlip'),
    ('optimizer', 'AdamWW', 'AdamW'),
    ('data sampler', 'RareClassSampler', 'mmimb.RareClassSampler'),
    ('hook', 'xyzzy', None)])
def test_a_misspelt_or_unprefixed_type_gets_the_nearest_name(kind, name, meant, capsys):
    from mmengine.registry import DefaultScope, root
    from mmseg.utils import register_all_modules
    register_all_modules(init_default_scope=False)
    registry = next(one for one in vars(root).values() if getattr(one, 'name', None) == kind)
    with DefaultScope.overwrite_default_scope('mmseg'), pytest.raises(SystemExit), one_line_errors():
        registry.build({'type': name})
    hint = f'; did you mean {meant!r}?' if meant else ''
    assert capsys.readouterr().err == f'error: `type` must be a registered {kind}, got {name!r}{hint}\n'


def test_a_full_disk_names_the_file(tmp_path):
    """A limit of the file size stands for the disk; mmengine's backend writes checkpoints."""
    code = ('import resource, signal\n'
            'from mmengine.fileio import LocalBackend\n'
            'from mmimb.engine.errors import one_line_errors\n'
            'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n'
            'with one_line_errors():\n'
            "    LocalBackend().put(b'x' * 5000, 'run/iter_8.pth')\n")
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: [Errno 27] File too large: 'run/iter_8.pth'\n")


def test_an_error_of_a_data_loading_worker_is_its_last_line(capsys):
    from torch.utils.data import DataLoader

    class Broken:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            raise FileNotFoundError(f'`label` must be a file, got {index}.png')

    with pytest.raises(SystemExit), one_line_errors():
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert capsys.readouterr().err == 'error: `label` must be a file, got 0.png\n'


def test_describe_outside_an_except_block():
    assert describe(OSError('x')) == 'x'
