"""Samplers as loops use them: ranks, epochs, skipping, wrapped datasets, data-loading workers."""
from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.runner import Runner
from support.sampling import CONTENT, build, sampler, scan, write_images

ARGUMENTS = {'RareClassSampler': dict(temperature=0.3), 'RepeatFactorSampler': dict(threshold=0.5), 'DifficultySampler': {}}
KINDS = tuple(ARGUMENTS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('streams')


@pytest.fixture(scope='module')
def config(folder):
    return write_images(folder / 'data')


@pytest.fixture(scope='module')
def data(config):
    return build(config)


@pytest.fixture(scope='module')
def report(folder, data):
    return scan(data, folder / 'stats.json')


def made(kind, data, report, **arguments):
    return sampler(kind, data, report, **ARGUMENTS[kind], **arguments)


@pytest.mark.parametrize('kind', KINDS)
def test_skip_goes_to_a_position_from_the_start(data, report, kind) -> None:
    stream = list(islice(made(kind, data, report), 700))
    for count in (0, 1, 37, 600):
        other = made(kind, data, report)
        list(islice(other, 5))
        other.skip(count)
        assert list(islice(other, 50)) == stream[count:count + 50]
    with pytest.raises(ValueError, match='`num_samples` must be at least 0, got -1'):
        other.skip(-1)


@pytest.mark.parametrize('kind', KINDS)
def test_a_second_iterator_goes_on_whatever_the_epoch(data, report, kind) -> None:
    each = made(kind, data, report)
    first = list(islice(each, 4))
    each.set_epoch(3)
    assert first + list(islice(each, 8)) == [each.draw(k) for k in range(12)]


@pytest.mark.parametrize('kind', KINDS)
def test_epochs_are_parts_of_the_same_stream(data, report, kind) -> None:
    endless, finite = made(kind, data, report), made(kind, data, report, infinite=False)
    size = {'RepeatFactorSampler': 15}.get(kind, 12)
    assert len(finite) == len(endless) == size
    stream = list(islice(endless, 4 * size))
    for epoch in (0, 1, 3):
        finite.set_epoch(epoch)
        assert list(finite) == list(finite) == stream[epoch * size:(epoch + 1) * size]
    assert not hasattr(finite, 'skip')


def test_weights_after_epochs(data, report) -> None:
    finite = made('DifficultySampler', data, report, infinite=False)
    for epoch in range(3):
        finite.set_epoch(epoch)
        list(finite)
    with pytest.raises(ValueError, match='`start` must be at least 36'):
        finite.set_class_weights(torch.ones(5), 35)
    finite.set_class_weights(torch.tensor([0., 0, 1, 0, 0]), 40)
    finite.set_epoch(3)
    drawn = list(finite)
    assert drawn[4:] == [2] * 8
    assert drawn[:4] == [made('DifficultySampler', data, report).draw(k) for k in range(36, 40)]


def ranks(rank: int, folder: str, config: dict) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    data, report, out = build(config), Path(folder) / 'stats.json', {}
    for kind in KINDS:
        endless, finite = made(kind, data, report), made(kind, data, report, infinite=False)
        if kind == 'DifficultySampler':
            endless.set_class_weights(torch.arange(5.), 40)
        out[kind] = {'stream': list(islice(endless, 60)), 'epochs': [], 'lengths': (len(endless), len(finite))}
        endless.skip(13)
        out[kind]['skipped'] = list(islice(endless, 47))
        for epoch in range(3):
            finite.set_epoch(epoch)
            out[kind]['epochs'].append(list(finite))
        out[kind]['seed'] = made(kind, data, report, seed=None).seed
    try:
        endless.set_class_weights(torch.ones(5), 119)
    except ValueError as error:
        out['refused'] = str(error)
    torch.save(out, Path(folder) / f'rank{rank}.pt')
    dist.destroy_process_group()


def test_two_ranks_are_dealt_the_stream_of_one(folder, config, data, report) -> None:
    mp.spawn(ranks, (str(folder), config), nprocs=2)
    first, second = (torch.load(folder / f'rank{rank}.pt') for rank in range(2))
    for kind in KINDS:
        alone = made(kind, data, report)
        if kind == 'DifficultySampler':
            alone.set_class_weights(torch.arange(5.), 40)
        stream = list(islice(alone, 120))
        assert (first[kind]['stream'], second[kind]['stream']) == (stream[::2], stream[1::2])
        assert (first[kind]['skipped'], second[kind]['skipped']) == (stream[26::2], stream[27::2])
        size = {'RepeatFactorSampler': 16}.get(kind, 12)
        assert first[kind]['lengths'] == second[kind]['lengths'] == (15 if size == 16 else 12, size // 2)
        plain = [made(kind, data, report).draw(k) for k in range(3 * size)]
        for epoch in range(3):
            part = plain[epoch * size:(epoch + 1) * size]
            assert (first[kind]['epochs'][epoch], second[kind]['epochs'][epoch]) == (part[::2], part[1::2])
        assert first[kind]['seed'] == second[kind]['seed']
    assert 'must be at least 120, as all draws before were handed out, got 119' in first['refused']
    assert first['refused'] == second['refused']


def wrapped(config: dict, kind: str) -> dict:
    if kind == 'repeated':
        return dict(type='RepeatDataset', times=3, dataset=config)
    if kind == 'joined':
        return dict(type='ConcatDataset', datasets=[dict(config, indices=[*range(7, 12)]), dict(config, indices=[*range(7)])])
    if kind == 'overlapping':
        return dict(type='ConcatDataset', datasets=[dict(config, indices=8), config])
    return dict(type='MultiImageMixDataset', pipeline=[], dataset=dict(type='ConcatDataset', datasets=[config]))


@pytest.mark.parametrize('kind', ['repeated', 'joined', 'overlapping', 'mixed'])
def test_wrapped_datasets(config, tmp_path, kind) -> None:
    data = build(wrapped(config, kind))
    made = sampler('RareClassSampler', data, scan(data, tmp_path / 'stats.json'), temperature=5)
    images = np.array([int(Path(data.get_data_info(i)['img_path']).stem) for i in range(len(data))])
    assert made.total_size == len(data)
    for c, name in enumerate(made.by_class):
        np.testing.assert_array_equal(name, np.flatnonzero(np.array(CONTENT)[images, c] > 0))
    assert {images[made.draw(k)] for k in range(500)} == set(range(12)) - {10}
    factor = np.ones(12)
    factor[2], factor[[5, 7]] = 2.449490, 1.732051  # as in test_repeat_factors_by_hand
    repeated = sampler('RepeatFactorSampler', data, tmp_path / 'stats.json', threshold=0.5)
    np.testing.assert_allclose(repeated.factor, factor[images], atol=1e-6)


def test_a_wrapper_that_does_not_tell_its_items(data, report) -> None:
    subset = torch.utils.data.Subset(data, range(12))
    with pytest.raises(ValueError, match='`dataset` must have `get_data_info`, which tells the file of an item, got Subset'):
        made('RareClassSampler', subset, report)


def test_items_without_labels_only(config, report) -> None:
    data = build(dict(type='ConcatDataset', datasets=[config]))
    data.get_data_info = lambda item, first=data.get_data_info: first(10)
    with pytest.raises(ValueError, match='`dataset` must have an item with a labelled pixel, got none'):
        made('RareClassSampler', data, report)


@pytest.mark.parametrize('kind', KINDS)
def test_workers_do_not_change_the_order(config, data, report, kind) -> None:
    plain = [made(kind, data, report).draw(k) for k in range(18)]
    for workers in (0, 2):
        loader = Runner.build_dataloader(dict(
            dataset=config, batch_size=3, num_workers=workers, persistent_workers=workers > 0,
            sampler=dict(type=f'mmimb.{kind}', stats=str(report), **ARGUMENTS[kind])), seed=5)
        batches = list(islice(loader, 6))
        assert [int(Path(s.img_path).stem) for batch in batches for s in batch['data_samples']] == plain
