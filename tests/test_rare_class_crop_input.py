"""The crop around rare classes: sizes, arrays, statistics and arguments of all kinds, and real pipelines."""
from __future__ import annotations

import json

import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from mmengine.runner import Runner
from mmseg.datasets.transforms import RandomCrop
from support.sampling import PIPELINE, build, write_images
from test_rare_class_crop import STATS, crop, crops, label_map

from mmimb.stats import ClassStats


@pytest.mark.parametrize('size', [(50, 80), (10, 80), [50, 12], (40, 60)])
def test_images_smaller_than_the_crop(size) -> None:
    out = crops(crop(size), label_map(), 1)[0]
    assert out['img_shape'] == (min(size[0], 40), min(size[1], 60))
    assert (out['gt_seg_map'] == 2).any()


@pytest.mark.parametrize('change', [lambda label: label.astype(np.int64), np.asfortranarray, lambda label: label[::-1, ::-1]],
                         ids=['int64', 'columns first', 'flipped'])
def test_other_arrays(change) -> None:
    label = change(label_map())
    for out in crops(crop(3), label, 30):
        rows, columns = np.moveaxis(out['img'][..., :2], -1, 0)
        np.testing.assert_array_equal(out['gt_seg_map'], label[rows, columns])
        assert (out['gt_seg_map'] == 2).any()


def test_ignore_index() -> None:
    label = np.where(label_map() == 2, 3, 255).astype(np.uint8)
    assert {out['gt_seg_map'].item() for out in crops(crop(1), label, 50)} == {3}
    other = np.where(label == 3, 3, 1).astype(np.uint8)
    assert {out['gt_seg_map'].item() for out in crops(crop(1, ignore_index=3), other, 50)} == {1}


def test_random_parameters_can_be_kept() -> None:
    for transform in (crop(), RandomCrop((10, 12))):
        with cache_random_params([transform]):
            first, *others = crops(transform, label_map(), 5)
        assert all(np.array_equal(out['img'], first['img']) for out in others)
        assert any(not np.array_equal(out['img'], first['img']) for out in crops(transform, label_map(), 5))


def test_statistics_are_read_at_the_first_image(tmp_path) -> None:
    path = tmp_path / 'stats.json'
    transform = crop(1, stats=str(path))
    with pytest.raises(FileNotFoundError, match='no such file'):
        crops(transform, label_map(), 1)
    path.write_text(json.dumps(STATS))
    want = [out['gt_seg_map'].item() for out in crops(crop(1, temperature=0.5), label_map(), 50)]
    late = crop(1, stats=str(path), temperature=0.5)
    assert [out['gt_seg_map'].item() for out in crops(late, label_map(), 50)] == want
    given = crop(1, stats=ClassStats(**{k: tuple(v) for k, v in STATS.items()}), temperature=0.5)
    assert [out['gt_seg_map'].item() for out in crops(given, label_map(), 50)] == want


@pytest.mark.parametrize('workers', [0, 2])
def test_in_a_pipeline_with_workers(tmp_path, workers) -> None:
    transform = dict(type='mmimb.RareClassCrop', crop_size=(4, 4), stats=dict(pixels=[90, 9, 5, 0, 4]), min_pixels=1)
    pipeline = [*PIPELINE[:2], transform, PIPELINE[2]]
    dataset = build({**write_images(tmp_path / 'data'), 'pipeline': pipeline})
    cfg = dict(dataset=dataset, batch_size=4, num_workers=workers, sampler=dict(type='DefaultSampler', shuffle=False))
    runs = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002
        loader = Runner.build_dataloader(cfg, seed=3)
        runs.append([sample.gt_sem_seg.data.numpy() for batch in loader for sample in batch['data_samples']])
    np.testing.assert_array_equal(*runs)
    assert np.array(runs[0]).shape == (12, 1, 4, 4)
    assert [(np.array(runs[0][i]) == 4).any() for i in (5, 7)] == [True, True]


@pytest.mark.parametrize(('arguments', 'rule'), [
    (dict(size=(1, 2, 3)), r'`crop_size` must be a number or \(height, width\), got \(1, 2, 3\)'),
    (dict(size=None), '`crop_size` must be an integer, got None'),
    (dict(size=(0, 4)), '`crop_size` must be at least 1, got 0'),
    (dict(size=(4.0, 4)), r'`crop_size` must be an integer, got 4\.0'),
    (dict(temperature=0), '`temperature` must be a finite number above 0'),
    (dict(min_pixels=0), '`min_pixels` must be at least 1'),
    (dict(min_pixels=121), r'`min_pixels` must be at most the pixels of a crop \(120\), got 121'),
    (dict(max_tries=0), '`max_tries` must be at least 1'),
    (dict(prob=1.5), '`prob` must be a finite number at least 0 and at most 1')])
def test_bad_arguments(arguments, rule) -> None:
    with pytest.raises((ValueError, TypeError), match=rule):
        crop(**arguments)


@pytest.mark.parametrize(('value', 'dtype'), [(4, np.uint8), (200, np.uint8), (-1, np.int64), (1000, np.int64)])
def test_labels_that_the_statistics_do_not_have(value, dtype) -> None:
    label = label_map().astype(dtype)
    label[3, 7] = value
    with pytest.raises(ValueError, match=f'`gt_seg_map` must have labels below 4, .* or 255, got {value}'):
        crops(crop(), label, 1)
