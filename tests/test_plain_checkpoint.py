"""Checkpoints as plain data, and what the tools refuse to load."""
from __future__ import annotations

import os
import pickle
from collections import OrderedDict, deque
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmimb.engine.checkpoint import (
    DamagedCheckpointError,
    UntrustedCheckpointError,
    check_named_checkpoints,
    find_resume,
    inspect_checkpoint,
    set_trust,
)
from mmimb.hooks import PlainCheckpointHook
from mmimb.hooks.plain_checkpoint import from_plain, to_plain


class Level(IntEnum):
    HIGH = 3


class Crafted:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


def saved(value, path):
    torch.save(value, path)
    return torch.load(path, weights_only=True)


VALUES = [
    1, 2.5, True, None, 'text', b'bytes', 1 + 2j, [1, (2, 'a')], {'a': {1: 'x'}}, {1, 2}, np.arange(6).reshape(2, 3),
    np.array(3.5, dtype=np.float32), np.array(['a', 'bc']), np.array([1, 2], dtype=np.uint16), np.zeros((0, 4)),
    np.array([True, False]), np.array([1, 2], dtype='>i4')]


@pytest.mark.parametrize('value', VALUES, ids=str)
def test_round_trip(value, tmp_path):
    back = from_plain(saved(to_plain(value), tmp_path / 'x.pth'))
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.shape == value.shape
        assert back.dtype == value.dtype
        np.testing.assert_array_equal(back, value)
    else:
        assert back == value


@pytest.mark.parametrize(('value', 'plain'), [
    (np.float64(1.5), 1.5), (np.int64(4), 4), (np.bool_(True), True), (np.str_('a'), 'a'), (Path('a/b'), 'a/b'),
    (deque([1, 2]), [1, 2]), (Level.HIGH, 3), (np.longdouble(2), 2.0), ({np.int64(1): np.float32(2)}, {1: 2.0})])
def test_what_becomes_plain_for_good(value, plain, tmp_path):
    back = saved(to_plain(value), tmp_path / 'x.pth')
    assert back == plain
    assert type(back) is type(plain)


def test_an_object_becomes_text_with_a_warning_that_names_it(tmp_path, caplog):
    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        assert saved(to_plain({'scale': object}, 'meta'), tmp_path / 'x.pth') == {'scale': str(object)}
    finally:
        logger.removeHandler(caplog.handler)
    assert 'meta.scale' in caplog.text


def test_log_histories_come_back_as_they_were(tmp_path):
    history = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 2], max_length=50)
    back = from_plain(saved(to_plain(history), tmp_path / 'x.pth'))
    np.testing.assert_array_equal(back.data, history.data)
    assert back.max_length == 50
    back.update(7.0)
    assert back.statistics('current') == 7.0
    assert back.mean(2) == (4 + 7) / (2 + 1)


def test_state_dict_keeps_versions_of_its_modules():
    state = torch.nn.BatchNorm2d(2).state_dict()
    assert to_plain(state)._metadata == state._metadata
    assert isinstance(to_plain(state), OrderedDict)


def test_hook_leaves_the_running_state_alone(tmp_path):
    hub = MessageHub.get_instance('alive')
    hub.update_scalar('train/loss', 1.0)
    hub.update_info('best', np.float64(3))
    checkpoint = {'message_hub': hub.state_dict()}
    PlainCheckpointHook().before_save_checkpoint(None, checkpoint)
    assert isinstance(hub.get_scalar('train/loss'), HistoryBuffer)
    loaded = saved(checkpoint, tmp_path / 'x.pth')
    PlainCheckpointHook().after_load_checkpoint(None, loaded)
    other = MessageHub.get_instance('resumed')
    other.load_state_dict(loaded['message_hub'])
    assert other.get_scalar('train/loss').current() == 1.0
    assert other.get_info('best') == 3.0


@pytest.mark.parametrize('zipped', [True, False])
def test_a_crafted_checkpoint_is_refused_and_not_executed(tmp_path, zipped):
    path, mark = tmp_path / 'x.pth', tmp_path / 'mark'
    torch.save({'state_dict': {}, 'x': Crafted(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UntrustedCheckpointError, match=r'x\.pth.*--trust-checkpoint'):
        inspect_checkpoint(path)
    assert not mark.exists()
    inspect_checkpoint(path, trust=True)
    assert mark.exists()


def test_a_bare_pickle_is_refused_and_not_executed(tmp_path):
    (tmp_path / 'x.pth').write_bytes(pickle.dumps(Crafted(tmp_path / 'mark')))
    with pytest.raises(UntrustedCheckpointError):
        inspect_checkpoint(tmp_path / 'x.pth')
    assert not (tmp_path / 'mark').exists()


def test_a_stock_checkpoint_is_refused_by_name(tmp_path):
    torch.save({'message_hub': {'log_scalars': {'loss': HistoryBuffer([1.0], [1])}}}, tmp_path / 'x.pth')
    with pytest.raises(UntrustedCheckpointError) as error:
        inspect_checkpoint(tmp_path / 'x.pth')
    assert 'HistoryBuffer' in str(error.value)
    assert 'message_hub' in inspect_checkpoint(tmp_path / 'x.pth', trust=True)


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04', bytes(4000), b'some text\n'])
def test_damaged_files(tmp_path, content):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises((DamagedCheckpointError, UntrustedCheckpointError), match=r'x\.pth'):
        inspect_checkpoint(tmp_path / 'x.pth')


def test_missing_truncated_and_strange_files(tmp_path):
    with pytest.raises(DamagedCheckpointError, match='existing file'):
        inspect_checkpoint(tmp_path / 'x.pth')
    torch.save([1], tmp_path / 'x.pth')
    with pytest.raises(DamagedCheckpointError, match='holding a list'):
        inspect_checkpoint(tmp_path / 'x.pth')
    torch.save({'a': torch.zeros(5000)}, tmp_path / 'y.pth')
    os.truncate(tmp_path / 'y.pth', 10000)
    with pytest.raises(DamagedCheckpointError, match='complete file'):
        inspect_checkpoint(tmp_path / 'y.pth')


def test_inspection_reads_no_weights(tmp_path):
    torch.save({'a': torch.zeros(5)}, tmp_path / 'x.pth')
    assert inspect_checkpoint(tmp_path / 'x.pth')['a'].device.type == 'meta'


def test_set_trust(monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    set_trust(False)
    assert os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' not in os.environ
    set_trust(True)
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_pretrained_weights_in_a_config_are_inspected(tmp_path):
    path = str(tmp_path / 'x.pth')
    torch.save(Crafted(tmp_path / 'mark'), path)
    for cfg in ({'load_from': path}, {'model': {'pretrained': path}},
                {'model': {'heads': [{'init_cfg': {'type': 'Pretrained', 'checkpoint': path}}]}}):
        with pytest.raises(UntrustedCheckpointError):
            check_named_checkpoints(cfg, trust=False)
    remote = {'load_from': 'https://x.org/y.pth', 'model': {'pretrained': 'torchvision://resnet50'}}
    check_named_checkpoints(remote, trust=False)
    assert not (tmp_path / 'mark').exists()


def checkpoints(folder, *steps):
    for step in steps:
        torch.save({'meta': {'iter': step}}, folder / f'iter_{step}.pth')
    (folder / 'last_checkpoint').write_text(str(folder / f'iter_{steps[-1]}.pth'))


def test_resume_takes_what_last_checkpoint_names(tmp_path):
    assert find_resume(tmp_path / 'none')[0] is None
    assert 'nothing to resume' in find_resume(tmp_path)[1][0]
    checkpoints(tmp_path, 5, 10, 20)
    assert find_resume(tmp_path) == (str(tmp_path / 'iter_20.pth'), [])
    moved = tmp_path.rename(tmp_path.with_name('moved'))
    assert find_resume(moved) == (str(moved / 'iter_20.pth'), [])


def test_resume_falls_back_to_the_newest_good_one(tmp_path):
    checkpoints(tmp_path, 5, 10, 20)
    os.truncate(tmp_path / 'iter_20.pth', 300)
    path, warnings = find_resume(tmp_path)
    assert path == str(tmp_path / 'iter_10.pth')
    assert 'iter_20.pth' in warnings[0]
    (tmp_path / 'iter_20.pth').unlink()
    assert find_resume(tmp_path)[0] == str(tmp_path / 'iter_10.pth')
    (tmp_path / 'last_checkpoint').unlink()
    assert find_resume(tmp_path) == (str(tmp_path / 'iter_10.pth'), [])


def test_resume_without_a_good_one_says_so(tmp_path):
    checkpoints(tmp_path, 5)
    os.truncate(tmp_path / 'iter_5.pth', 10)
    with pytest.raises(DamagedCheckpointError, match='iter_5'):
        find_resume(tmp_path)


def test_resume_never_passes_over_an_untrusted_one(tmp_path):
    checkpoints(tmp_path, 5, 10)
    torch.save({'x': np.float64(1)}, tmp_path / 'iter_10.pth')
    with pytest.raises(UntrustedCheckpointError, match='iter_10'):
        find_resume(tmp_path)
    assert find_resume(tmp_path, trust=True)[0] == str(tmp_path / 'iter_10.pth')
