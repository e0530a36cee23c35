"""The padding of the sampler does not count: one process, real gloo processes, and every small case simulated."""
from __future__ import annotations

import json

import mmengine.dataset.sampler as mmengine_sampler
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler
from test_evaluated import numpy_counts
from test_metric import CLASSES, STATS, build, random_samples, run
from torch.utils.data import DataLoader

from mmimb import padding
from mmimb.metrics.anatomy import AnatomyMetric
from mmimb.stats import EvaluatedCounts

CASES = [dict(images=7, round_up=True), dict(images=7, round_up=False), dict(images=6, round_up=True),
         dict(images=1, round_up=True), dict(images=1, round_up=False), dict(images=5, round_up=True, shuffle=False)]


def evaluate(metric, images, round_up, shuffle=True):
    samples = random_samples(images, seed=images, unlabelled=(3,))
    sampler = DefaultSampler(samples, shuffle=shuffle, seed=5, round_up=round_up)
    for batch in DataLoader(samples, batch_size=2, sampler=sampler, collate_fn=list):
        metric.process(None, batch)
    return metric.evaluate(images)


def _rank_main(rank, world_size, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world_size)
    metric = build(stats=STATS, keep_counts=True)
    results = []
    for number, case in enumerate(CASES):
        results.append(evaluate(metric, **case))
        if rank == 0:
            np.savez(f'{folder}/{number}.npz', **metric.counts.arrays())
    assert (metric.counts is None) == (rank != 0)
    anatomy = build_anatomy()
    evaluate(anatomy, **CASES[-1])
    if rank == 0:
        np.savez(f'{folder}/anatomy.npz', **vars(anatomy.anatomy))
    assert (anatomy.anatomy is None) == (rank != 0)
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(results, file)
    torch.distributed.destroy_process_group()


def build_anatomy():
    metric = AnatomyMetric()
    metric.dataset_meta = {'classes': CLASSES}
    return metric


def test_two_processes_equal_one(tmp_path):
    mp.spawn(_rank_main, args=(2, str(tmp_path)), nprocs=2)
    expected = [json.dumps(run(build(stats=STATS), random_samples(case['images'], seed=case['images'], unlabelled=(3,))))
                for case in CASES]
    for rank in range(2):
        got = [json.dumps(result) for result in json.loads((tmp_path / f'{rank}.json').read_text())]
        assert got == expected  # as text: NaN equals NaN, and the order of the keys is the same
    for number, case in enumerate(CASES):
        samples = random_samples(case['images'], seed=case['images'], unlabelled=(3,))
        with np.load(tmp_path / f'{number}.npz') as file:
            kept = EvaluatedCounts.of(dict(file))
        order = np.argsort(kept.files)
        assert [kept.files[at] for at in order] == [f'{i}.png' for i in range(case['images'])], 'no padding, every image'
        assert case.get('shuffle', True) or (order == np.arange(len(order))).all(), 'in the order of the dataset'
        counts, confusion = numpy_counts(samples)
        np.testing.assert_array_equal(kept.dense(5)[:, order], counts)
        np.testing.assert_array_equal(kept.confusion, confusion)
    one = build_anatomy()
    run(one, random_samples(5, seed=5, unlabelled=(3,)))
    with np.load(tmp_path / 'anatomy.npz') as file:
        for name, value in vars(one.anatomy).items():
            if name != 'image':
                np.testing.assert_array_equal(file[name], value)
        maps = [[part.numpy().squeeze() for part in (s['pred_sem_seg']['data'], s['gt_sem_seg']['data'])] for s in samples]
        for c, d in np.argwhere(one.anatomy.largest):
            counts = [((pred == d) & (label == c)).sum() for pred, label in maps]
            assert counts[file['image'][c, d]] == max(counts) == one.anatomy.largest[c, d]


@pytest.mark.parametrize('world_size', [1, 2, 3, 4])
@pytest.mark.parametrize('round_up', [True, False])
def test_every_image_counts_once(world_size, round_up, monkeypatch):
    for images in range(1, 10):
        total, count = 0, 0
        for rank in range(world_size):
            for module in (mmengine_sampler, padding):
                monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, world_size))
            metric = build()
            samples = random_samples(images, seed=images)
            for index in DefaultSampler(samples, shuffle=True, seed=0, round_up=round_up):
                metric.process(None, [samples[index]])
            counts, number = metric._without_padding(images)
            total, count = total + counts, count + number
        reference = build()
        reference.process(None, samples)
        torch.testing.assert_close(total, reference._total + reference._last if images > 1 else reference._last)
        assert count == images
