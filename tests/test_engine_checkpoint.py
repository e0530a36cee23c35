"""What the tools refuse to load, and what a resume starts from."""
from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmimb.engine.checkpoint import (
    DamagedCheckpointError,
    UntrustedCheckpointError,
    check_named_checkpoints,
    find_resume,
    inspect_checkpoint,
    set_trust,
)


class Crafted:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


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


def test_inspection_keeps_no_weights(tmp_path):
    torch.save({'a': torch.zeros(5)}, tmp_path / 'x.pth')
    assert inspect_checkpoint(tmp_path / 'x.pth')['a'].device.type == 'meta'


@pytest.mark.parametrize('trust', [False, True])
def test_a_page_of_the_wrong_kind_is_damage_and_no_matter_of_trust(tmp_path, trust):
    (tmp_path / 'x.pth').write_text('<html><body>please log in</body></html>')
    with pytest.raises(DamagedCheckpointError, match=r'complete file of torch\.save') as error:
        inspect_checkpoint(tmp_path / 'x.pth', trust=trust)
    assert 'trust' not in str(error.value)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    checkpoints(tmp_path, 5)
    for error in (OSError(errno.EIO, 'Input/output error'), MemoryError(), RuntimeError("can't allocate memory: 9 bytes")):
        with monkeypatch.context() as patch:
            patch.setattr(torch, 'load', lambda *_, raised=error, **__: (_ for _ in ()).throw(raised))
            with pytest.raises(type(error)):
                find_resume(tmp_path)


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


def test_resume_without_a_good_one_starts_anew_and_says_so(tmp_path):
    """A kill in the first save: the job is queued again and again, and must not end with an error each time."""
    checkpoints(tmp_path, 5)
    os.truncate(tmp_path / 'iter_5.pth', 10)
    path, warnings = find_resume(tmp_path)
    assert path is None
    assert 'iter_5.pth' in warnings[0]
    assert warnings[-1] == f'nothing complete to resume in {str(tmp_path)!r}: the run starts at the beginning'


def damages(size: int, seed: int = 0):
    """40 flipped bits, 40 zeroed pages and 10 truncations of a file of ``size`` bytes."""
    rng = np.random.default_rng(seed)

    def flip(data, at):
        data[at // 8] ^= 1 << at % 8

    def zero(data, page):
        data[4096 * page:4096 * (page + 1)] = bytes(len(data[4096 * page:4096 * (page + 1)]))

    def cut(data, at):
        del data[at:]

    places = [(flip, rng.integers(0, 8 * size, 40)), (zero, rng.integers(0, -(-size // 4096), 40)),
              (cut, rng.integers(0, size, 10))]
    return [(damage, int(at)) for damage, many in places for at in many]


def content(path):
    """Everything in a checkpoint, as text and arrays that can be compared."""
    loaded = torch.load(path, weights_only=True)
    return {'meta': loaded['meta'], 'keys': list(loaded['state_dict']),
            'values': [value.tolist() for value in loaded['state_dict'].values()]}


def test_no_damage_of_the_newest_checkpoint_gets_into_a_run(tmp_path):
    g = torch.Generator().manual_seed(0)
    wanted = {}
    for step in (5, 10):
        weights = {f'decode_head.conv{k}.weight': torch.randn(40 + k, 8, generator=g) for k in range(40)}
        torch.save({'meta': {'iter': step}, 'state_dict': weights}, tmp_path / f'iter_{step}.pth')
        wanted[f'iter_{step}.pth'] = content(tmp_path / f'iter_{step}.pth')
    newest = tmp_path / 'iter_10.pth'
    (tmp_path / 'last_checkpoint').write_text(str(newest))
    sound, kept = newest.read_bytes(), 0
    for damage, at in damages(len(sound)):
        data = bytearray(sound)
        damage(data, at)
        newest.write_bytes(data)
        chosen, warnings = find_resume(tmp_path)
        assert content(chosen) == wanted[Path(chosen).name], (damage.__name__, at)
        if chosen == str(newest):  # what was hit holds nothing, as the bytes between two tensors
            kept += 1
            assert warnings == []
        else:
            assert 'iter_10.pth' in warnings[0]
            assert warnings[-1] == f'resuming from {str(tmp_path / "iter_5.pth")!r}'
    assert kept < 20


def test_resume_never_passes_over_an_untrusted_one(tmp_path):
    checkpoints(tmp_path, 5, 10)
    torch.save({'x': np.float64(1)}, tmp_path / 'iter_10.pth')
    with pytest.raises(UntrustedCheckpointError, match='iter_10'):
        find_resume(tmp_path)
    assert find_resume(tmp_path, trust=True)[0] == str(tmp_path / 'iter_10.pth')
