"""Files that are written whole or not at all, and checkpoints among them."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.runner.checkpoint import save_checkpoint

from mmimb.files import remove_leftovers, write_files
from mmimb.hooks import PlainCheckpointHook
from mmimb.hooks.whole_files import BACKEND


@pytest.fixture
def hook(tmp_path):
    """A CheckpointHook at the start of a training whose custom hooks are ours."""
    hook = CheckpointHook(by_epoch=False, interval=4)
    runner = SimpleNamespace(work_dir=str(tmp_path / 'w'), hooks=[hook], rank=0, logger=SimpleNamespace(info=lambda text: None))
    (tmp_path / 'w').mkdir()
    hook.before_train(runner)
    PlainCheckpointHook().before_train(runner)
    return hook


def test_checkpoints_appear_whole(hook, tmp_path, monkeypatch):
    path = tmp_path / 'w/iter_4.pth'
    save_checkpoint({'meta': {'iter': 4}}, str(path), backend_args=hook.backend_args)
    assert torch.load(path, weights_only=True) == {'meta': {'iter': 4}}

    def killed(fd):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'fsync', killed)
    for name in ('iter_4.pth', 'best_mIoU_iter_4.pth'):
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint({'meta': {'iter': 8}}, str(tmp_path / 'w' / name), backend_args=hook.backend_args)
    assert os.listdir(tmp_path / 'w') == ['iter_4.pth']
    assert torch.load(path, weights_only=True) == {'meta': {'iter': 4}}


def test_another_backend_is_left_alone(tmp_path):
    hook = CheckpointHook(by_epoch=False, backend_args={'backend': 'memcached'})
    hook.out_dir, hook.file_backend = str(tmp_path), object()
    PlainCheckpointHook().before_train(SimpleNamespace(hooks=[hook], rank=0))
    assert hook.backend_args == {'backend': 'memcached'}


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    work = tmp_path / 'w'
    work.mkdir()
    torch.save({'a': torch.zeros(9)}, work / 'best_mIoU_iter_8.pth')
    (work / 'best_mIoU_iter_12.pth').write_bytes((work / 'best_mIoU_iter_8.pth').read_bytes()[:200])
    (work / 'best_mIoU_iter_16.pth').touch()
    (work / 'best_mine.pth').write_text('somebody else made this')
    (work / '.iter_4.pth.77.tmp').write_text('half')
    hook = CheckpointHook(by_epoch=False)
    runner = SimpleNamespace(work_dir=str(work), hooks=[hook], rank=0, logger=SimpleNamespace(info=lambda text: None))
    hook.before_train(runner)
    PlainCheckpointHook().before_train(runner)
    assert hook.backend_args['backend'] == BACKEND
    assert sorted(path.name for path in work.iterdir()) == ['best_mIoU_iter_8.pth', 'best_mine.pth']


def test_writing_goes_through_no_link(tmp_path, monkeypatch):
    """The name of the part is known beforehand here, and somebody has put a link there."""
    monkeypatch.setattr('secrets.token_hex', lambda size: '0')
    (tmp_path / 'theirs').write_text('keep')
    (tmp_path / '.report.json.0.tmp').symlink_to(tmp_path / 'theirs')
    with pytest.raises(FileExistsError):
        write_files({tmp_path / 'report.json': b'new'})
    assert (tmp_path / 'theirs').read_text() == 'keep'
    assert (tmp_path / '.report.json.0.tmp').is_symlink(), 'what is not ours is not removed'


def test_names_of_parts_cannot_be_guessed(tmp_path, monkeypatch):
    names: list[str] = []
    monkeypatch.setattr(os, 'fsync', lambda fd: names.extend(path.name for path in tmp_path.iterdir()))
    for _ in range(2):
        write_files({tmp_path / 'x': b''})
    parts = [name for name in names if name != 'x']
    assert len(set(parts)) == 2
    assert all(str(os.getpid()) not in name.split('.') for name in parts)


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r"No space left on device: '.*report\.json'"):
        write_files({tmp_path / 'report.json': b'new'})
    assert list(tmp_path.iterdir()) == []


def test_leftovers(tmp_path):
    for name in ('.a.pth.1.tmp', '.b.json.1.tmp', 'a.pth'):
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path, '*.pth') == [tmp_path / '.a.pth.1.tmp']
    assert sorted(map(Path, os.listdir(tmp_path))) == [Path('.b.json.1.tmp'), Path('a.pth')]
