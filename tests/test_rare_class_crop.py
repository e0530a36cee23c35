"""The crop around rare classes: which class, how much of it, and what RandomCrop does elsewhere."""
from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS
from mmseg.datasets.transforms import RandomCrop

from mmimb.sampling import RareClassCrop

STATS = dict(pixels=[8000, 1000, 100, 0])


def label_map() -> np.ndarray:
    """A 40 x 60 map: class 1 in a block of 400, class 2 in one of 16 and in 4 single pixels, the first columns ignored."""
    label = np.zeros((40, 60), np.uint8)
    label[:, :5] = 255
    label[5:25, 10:30] = 1
    label[30:34, 50:54] = 2
    label[[0, 0, 39, 39], [5, 59, 20, 59]] = 2
    return label


def results(label: np.ndarray) -> dict:
    rows, columns = np.indices(label.shape)
    return dict(img=np.stack([rows, columns, label], -1), gt_seg_map=label, img_shape=label.shape, seg_fields=['gt_seg_map'])


def crops(transform, label, count, seed=0):
    np.random.seed(seed)  # noqa: NPY002
    return [transform.transform(results(label.copy())) for _ in range(count)]


def crop(size=(10, 12), stats=STATS, **arguments):
    return TRANSFORMS.build(dict(type='mmimb.RareClassCrop', crop_size=size, stats=stats, **{'min_pixels': 1, **arguments}))


def test_image_and_labels_are_cut_alike() -> None:
    label = label_map()
    depth = np.arange(label.size).reshape(label.shape)
    for _ in range(20):
        out = crop().transform(dict(results(label), seg_fields=['gt_seg_map', 'depth'], depth=depth))
        rows, columns, inside = np.moveaxis(out['img'], -1, 0)
        assert out['img_shape'] == out['gt_seg_map'].shape == (10, 12)
        np.testing.assert_array_equal(out['gt_seg_map'], label[rows, columns])
        np.testing.assert_array_equal(out['gt_seg_map'], inside)
        np.testing.assert_array_equal(out['depth'], depth[rows, columns])
        assert (np.diff(rows, axis=0) == 1).all()
        assert (np.diff(columns, axis=1) == 1).all()


@pytest.mark.parametrize('temperature', [0.01, 0.5, 100])
def test_class_is_drawn_by_its_softmax(temperature) -> None:
    """With crops of one pixel the class in the crop is the class that was drawn; 3 is not in the image."""
    share = np.array(STATS['pixels'][:3]) / sum(STATS['pixels'])
    want = np.exp((1 - share) / temperature)
    want /= want.sum()
    seen = [out['gt_seg_map'].item() for out in crops(crop(1, temperature=temperature), label_map(), 2000)]
    counts = np.bincount(seen, minlength=3)
    np.testing.assert_allclose(counts / 2000, want, atol=4 * np.sqrt(0.25 / 2000))


def test_default_temperature() -> None:
    assert all((out['gt_seg_map'] == 2).any() for out in crops(crop(), label_map(), 50))


def test_pixels_of_the_class_are_drawn_evenly() -> None:
    label = label_map()
    positions = [tuple(out['img'][0, 0, :2]) for out in crops(crop(1), label, 3000)]
    pixels = [tuple(pixel) for pixel in np.argwhere(label == 2)]
    counts = np.array([positions.count(pixel) for pixel in pixels])
    assert counts.sum() == 3000
    assert ((counts - 150)**2 / 150).sum() < 43.8  # 99.9 % of a chi-square of 19


def test_crops_around_a_pixel_are_drawn_evenly() -> None:
    label = np.zeros((9, 30), np.uint8)
    label[7, 2] = 2
    corners = [tuple(out['img'][0, 0, :2]) for out in crops(crop((4, 5)), label, 1800)]
    places = [(top, left) for top in (4, 5) for left in (0, 1, 2)]
    counts = np.array([corners.count(place) for place in places])
    assert counts.sum() == 1800
    assert ((counts - 300)**2 / 300).sum() < 20.5  # 99.9 % of a chi-square of 5


def test_min_pixels_or_all_that_there_are() -> None:
    held = [(out['gt_seg_map'] == 2).sum() for out in crops(crop(min_pixels=12, max_tries=60), label_map(), 200)]
    assert min(held) >= 12
    label = label_map()
    label[30:34, 50:54] = 0  # four single pixels are left, far apart
    label[1, 6] = 2
    held = [(out['gt_seg_map'] == 2).sum() for out in crops(crop(min_pixels=12, max_tries=60), label, 200)]
    assert set(held) == {2}  # of five: no crop holds more, and the best of sixty tries is taken
    label[[0, 0, 39, 39], [5, 59, 20, 59]] = 0
    assert {(out['gt_seg_map'] == 2).sum() for out in crops(crop(min_pixels=12, max_tries=1), label, 50)} == {1}


def test_tries_are_bounded_and_the_best_is_taken(monkeypatch) -> None:
    label, transform = label_map(), crop(min_pixels=100, max_tries=7)
    for seed in range(20):
        boxes = []
        original = RareClassCrop._random_box
        monkeypatch.setattr(RareClassCrop, '_random_box', lambda *a, o=original, b=boxes: b.append(o(*a)) or b[-1])
        out = crops(transform, label, 1, seed)[0]
        monkeypatch.undo()
        held = [(label[top:bottom, left:right] == 2).sum() for top, bottom, left, right in boxes]
        assert len(held) == 7
        assert (out['gt_seg_map'] == 2).sum() == max(held)
    assert len(set(held)) > 1


@pytest.mark.parametrize('min_pixels', [1, 100])
def test_the_first_crop_with_enough_is_taken(monkeypatch, min_pixels) -> None:
    label, boxes = np.full((40, 60), 255, np.uint8), []
    label[20, 30:33] = 1
    original = RareClassCrop._random_box
    monkeypatch.setattr(RareClassCrop, '_random_box', lambda *a: boxes.append(original(*a)) or boxes[-1])
    out = crops(crop((20, 30), min_pixels=min_pixels), label, 40)
    held = [(label[top:bottom, left:right] == 1).sum() for top, bottom, left, right in boxes]
    enough = min(min_pixels, 3)
    assert [(each['gt_seg_map'] == 1).sum() for each in out] == [h for h in held if h >= enough]
    assert min(held) < 3


@pytest.mark.parametrize('label', [np.full((40, 60), 255, np.uint8), label_map()], ids=['ignored', 'prob 0'])
def test_elsewhere_it_is_a_random_crop(label) -> None:
    for seed in range(20):
        ours = crops(crop(prob=0 if (label != 255).any() else 1), label, 1, seed)[0]
        np.random.seed(seed)  # noqa: NPY002
        if (label != 255).any():
            np.random.rand()  # noqa: NPY002  (what decides by prob)
        theirs = RandomCrop((10, 12)).transform(results(label))
        np.testing.assert_array_equal(ours['img'], theirs['img'])
        assert ours.keys() == theirs.keys()


def test_prob_is_the_share_of_rare_crops() -> None:
    seen = [out['gt_seg_map'].item() == 2 for out in crops(crop(1, prob=0.3), label_map(), 2000)]
    assert np.mean(seen) == pytest.approx(0.3 + 0.7 * 20 / 2400, abs=4 * np.sqrt(0.25 / 2000))
