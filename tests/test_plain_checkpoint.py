"""Checkpoints as plain data."""
from __future__ import annotations

from collections import OrderedDict, deque
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmimb.hooks import PlainCheckpointHook
from mmimb.hooks.plain_checkpoint import from_plain, to_plain


class Level(IntEnum):
    HIGH = 3


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
