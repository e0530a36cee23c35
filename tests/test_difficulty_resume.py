"""Difficulty, weights, draws and parameters: bit by bit those of a run that was never killed, on any number of ranks."""
from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from support.difficulty_run import Folder, assert_equal, rows, state
from support.tiny_run import ROOT, environment, error_line, free_port, iterations, tool

from mmimb.sampling import RareClassSampler
from mmimb.scan.build import build_split

PARTS = '''
custom_imports = dict(imports='support.difficulty_parts', allow_failed_imports=False)
custom_hooks.append(dict(type='DieHook'))
train_dataloader.update(num_workers=1, persistent_workers=True)
train_dataloader['dataset']['pipeline'] = [dict(type='NoteRead'), *load]
'''
SAMPLER = "train_dataloader['sampler'] = dict(type='mmimb.DifficultySampler', stats={!r}, delay=3)\n"
DOUBLE = '''
model.update(type='DoubleSegmentor')
model['decode_head']['loss_decode']['sync_avg'] = True
train_dataloader['batch_size'] = {batch}
'''
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Folder:
    return Folder(tmp_path_factory.mktemp('resume'))


def train(config: Path, work: Path, *arguments: str, ranks: int = 1, **env: str):
    path = f'{ROOT / "tests"}:{environment()["PYTHONPATH"]}'
    if ranks > 1:
        return tool('dist_train.sh', config, ranks, '--work-dir', work, *arguments, PYTHONPATH=path, PORT=free_port(), **env)
    return tool('train.py', config, '--work-dir', work, *arguments, PYTHONPATH=path, **env)


def succeeded(result):
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


def killed(folder: Folder, tmp_path: Path, hook: str, extra: str = '', ranks: int = 1, fresh: bool = True, **settings):
    """Train 40 iterations, if a fresh run is wanted; train until a kill -9 and resume. Return both work folders."""
    config = folder.config(hook, iterations=40, checkpoint=20, extra=PARTS + extra, **settings)
    if fresh:
        succeeded(train(config, tmp_path / 'whole', ranks=ranks))
    reads = {'READS': str(tmp_path / 'parts/reads')}
    result = train(config, tmp_path / 'parts', ranks=ranks, DIE_AFTER='27', **reads)
    assert result.returncode != 0
    assert not (tmp_path / 'parts/iter_40.pth').exists()
    resumed = succeeded(train(config, tmp_path / 'parts', '--resume', ranks=ranks, **reads))
    assert iterations(resumed.stdout) == list(range(21, 41))
    return tmp_path / 'whole', tmp_path / 'parts'


def same_state(whole: Path, parts: Path) -> None:
    want, got = state(whole, 40), state(parts, 40)
    assert_equal(got['class_difficulty'], want['class_difficulty'], 'class_difficulty')
    assert_equal(dict(got['state_dict']), dict(want['state_dict']), 'parameters')
    assert_equal(got['optimizer']['state'], want['optimizer']['state'], 'momentum')
    assert rows(parts) == rows(whole)


def test_killed_between_measurements_with_a_sampler(folder, tmp_path) -> None:
    """The window of the measurement at 21 begins before the checkpoint at 20."""
    whole, parts = killed(folder, tmp_path, 'interval=7', SAMPLER.format(str(folder.scan())))
    same_state(whole, parts)
    saved = state(whole, 40)['class_difficulty']
    assert saved['log']['iteration'] == [i for i in range(7, 41, 7) for _ in range(2)]
    assert saved['log']['user'][:2] == ['decode_head.loss_decode', 'sampler']
    assert saved['sampler']['draws']['starts'].tolist() == [0] + [2 * (i + 3) for i in range(7, 41, 7)]
    assert saved['meter']['gathered'].sum() > 0
    reads = len((parts / 'reads').read_text().splitlines())
    fast = hasattr(InfiniteSampler, 'skip')  # the stack can go on without reading past batches again
    assert (27 + 20) * 2 <= reads - (0 if fast else 20 * 2) <= (27 + 20 + 2 * 4) * 2


@pytest.mark.parametrize(('hook', 'validation'), [('holdout', 100), ("source='val'", 10)])
def test_killed_with_a_measurement_of_its_own_split(folder, tmp_path, hook, validation) -> None:
    """The validation after iteration 20 comes after the checkpoint, so that a resumed run has to make up for it."""
    whole, parts = killed(folder, tmp_path, folder.holdout(8) if hook == 'holdout' else hook, val_interval=validation)
    same_state(whole, parts)
    steps = [8, 16, 24, 32, 40] if hook == 'holdout' else [10, 20, 30]
    assert state(parts, 40)['class_difficulty']['log']['iteration'] == steps


def test_draws_go_on_without_a_seed(folder, tmp_path) -> None:
    """The random seed of the run is in the checkpoint; the sampler of the resumed run is built with it."""
    sampler = f"train_dataloader['sampler'] = dict(type='mmimb.RareClassSampler', stats={str(folder.scan())!r})\n"
    work = killed(folder, tmp_path, 'interval=50', sampler + 'del randomness\n', fresh=False)[1]
    seed = state(work, 20)['meta']['seed']
    assert state(work, 40)['meta']['seed'] == seed
    done = [Path(line).stem for line in (work / 'reads').read_text().splitlines()]
    dataset = build_split(Config.fromfile(folder.path / f'config{folder.configs}.py'))
    draws = RareClassSampler(dataset, folder.path / 'scan.json', seed=seed)
    expected = [str(index) for index in islice(draws, 80)]
    assert done[:54] == expected[:54]
    again = [] if hasattr(InfiniteSampler, 'skip') else expected[:40]
    at = next(i for i in range(54, len(done)) if done[i:i + 40 + len(again)] == again + expected[40:80])
    assert at <= 54 + 2 * 4  # what the worker of the killed run had prefetched


def test_two_ranks_killed(folder, tmp_path) -> None:
    """Only the first rank saves, but the counts of both since the last measurement are in the checkpoint."""
    whole, parts = killed(folder, tmp_path, 'interval=7, stride=1', ranks=2)
    same_state(whole, parts)


@pytest.mark.parametrize('hook', ['interval=2, stride=3', 'holdout'])
def test_two_ranks_are_one_with_twice_the_batch(folder, tmp_path, hook) -> None:
    hook = folder.holdout(2) if hook == 'holdout' else hook
    sampler = SAMPLER.format(str(folder.scan()))
    for ranks, batch in ((1, 4), (2, 2)):
        config = folder.config(hook, iterations=10, checkpoint=10, extra=PARTS + sampler + DOUBLE.format(batch=batch))
        succeeded(train(config, tmp_path / str(ranks), ranks=ranks))
    one, two = state(tmp_path / '1', 10), state(tmp_path / '2', 10)
    assert_equal(two['class_difficulty'], one['class_difficulty'], 'class_difficulty')
    assert one['class_difficulty']['log']['weight'].std() > 0
    for name, want in one['state_dict'].items():
        assert want.dtype in (torch.float64, torch.int64), name
        torch.testing.assert_close(two['state_dict'][name], want, rtol=1e-9, atol=1e-9,
                                   msg=lambda text, name=name: f'{name}: {text}')


def test_a_checkpoint_of_another_class_list_is_refused(folder, tmp_path) -> None:
    config = folder.config('interval=4', checkpoint=4)
    succeeded(train(config, tmp_path / 'w', '--cfg-options', 'train_cfg.max_iters=4'))
    other = config.with_name('other.py')
    metric = "val_evaluator = dict(type='mmimb.LongTailIoUMetric'"
    other.write_text(config.read_text().replace("'sign'", "'lamp'").replace(f'{metric}, stats=', f'{metric}) #'))
    assert error_line(train(other, tmp_path / 'w', '--resume')) == (
        'error: `--resume` must be a checkpoint of the same classes (3: road, car, lamp), got one of (3: road, car, sign)')


def test_a_run_that_starts_from_weights_begins_at_ones(folder, tmp_path) -> None:
    config = folder.config('interval=4')
    succeeded(train(config, tmp_path / 'a'))
    start = f'load_from={tmp_path / "a/iter_8.pth"}'
    options = [start, 'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=1']
    succeeded(train(config, tmp_path / 'b', '--cfg-options', *options))
    assert state(tmp_path / 'b', 1)['state_dict']['decode_head.loss_decode.class_weight.weight'].tolist() == [1, 1, 1]
