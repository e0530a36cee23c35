"""What an evaluation keeps: counts per image against numpy, image-wise scores against the paper's definition, the file."""
from __future__ import annotations

import json
import math
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from test_metric import CLASSES, build, random_samples, run, sample

from mmimb.functional import band_width, boundary_band
from mmimb.metrics import BoundaryIoUMetric, MultiLabelIoUMetric
from mmimb.metrics.image_counts import ImageCounter
from mmimb.stats import EvaluatedCounts, image_scores
from mmimb.stats.evaluated import shared_names
from mmimb.stats.image_scores import image_iou
from mmimb.stats.npz import digest, pack


def maps(one):
    return (one[key]['data'].numpy().squeeze() for key in ('pred_sem_seg', 'gt_sem_seg'))


def numpy_counts(samples, num_classes=5):
    """``(3, N, C)`` counts and ``(C, C)`` confusion of the maps themselves."""
    counts, confusion = np.zeros((3, len(samples), num_classes), int), np.zeros((num_classes, num_classes), int)
    for i, one in enumerate(samples):
        pred, label = maps(one)
        for c in range(num_classes):
            counts[:, i, c] = ((pred == c) & (label == c)).sum(), (label == c).sum(), ((pred == c) & (label != 255)).sum()
            for d in range(num_classes):
                confusion[c, d] += ((label == c) & (pred == d)).sum()
    return counts, confusion


def test_counts_of_every_image_are_those_of_the_maps():
    samples = random_samples(7, seed=3, absent=(1,), unlabelled=(2,))
    metric = build(keep_counts=True)
    scores = run(metric, samples)
    counts, confusion = numpy_counts(samples)
    np.testing.assert_array_equal(metric.counts.dense(5), counts)
    np.testing.assert_array_equal(metric.counts.confusion, confusion)
    assert metric.counts.files == tuple(f'{i}.png' for i in range(7))
    assert len(metric.counts.class_index) == ((counts[1] + counts[2]) > 0).sum(), 'an entry only where something is'
    assert np.diff(metric.counts.indptr)[1] == 0, 'an image without a label'
    plain = build()
    assert json.dumps(run(plain, samples)) == json.dumps(scores), 'the scores do not change'
    assert plain.counts is None
    run(metric, samples[:2])
    assert len(metric.counts) == 2, 'each evaluation begins anew'


def test_counts_of_several_labels_per_pixel():
    rng = np.random.default_rng(0)
    metric = MultiLabelIoUMetric(keep_counts=True)
    metric.dataset_meta = {'classes': CLASSES}
    logits, label = rng.normal(size=(2, 5, 6, 7)), rng.choice([0, 1, 255], (2, 5, 6, 7), p=[.6, .3, .1])
    label[:, 3] = 0
    metric.process(None, [{'seg_logits': {'data': torch.tensor(z)}, 'gt_sem_seg': {'data': torch.tensor(y)}, 'img_path': 'a'}
                          for z, y in zip(logits, label, strict=True)])
    metric.evaluate(2)
    guess, valid = logits > 0, label != 255
    expected = [((label == 1) & guess), label == 1, guess & valid]
    np.testing.assert_array_equal(metric.counts.dense(5), [part.sum((2, 3)) for part in expected])


def test_image_scores_of_the_paper():
    """Four hand-made images of 10 pixels and their IoU, from the definition: only labelled classes of an image have one."""
    images = [  # label, prediction
        ([0] * 6 + [1] * 4, [0] * 6 + [1] * 2 + [0] * 2),  # class 0: 6/8, class 1: 2/4
        ([0] * 10, [0] * 9 + [2]),                         # class 0: 9/10; class 2 is no class of this image
        ([1] * 5 + [2] * 5, [2] * 10),                     # class 1: 0, class 2: 5/10
        ([255] * 10, [0] * 10),                            # not an image of the mean
    ]
    metric = build(classes=('a', 'b', 'c'), keep_counts=True)
    run(metric, [sample(np.array([pred]), np.array([label])) for label, pred in images])
    iou = image_iou(metric.counts, 3)
    np.testing.assert_allclose(iou, [[.75, .5, np.nan], [.9, np.nan, np.nan], [np.nan, 0, .5], [np.nan] * 3])
    found = image_scores(metric.counts, 3, worst=(1, 50, 67))
    of_images, of_classes = [(.75 + .5) / 2, .9, .25], [[.75, .9], [.5, 0], [.5]]
    assert found['mIoU_I'] == pytest.approx(100 * np.mean(of_images))
    assert found['mIoU_C'] == pytest.approx(100 * np.mean([np.mean(c) for c in of_classes]))
    assert found['mIoU_I_q1'] == pytest.approx(25), 'at least one image'
    assert found['mIoU_I_q50'] == pytest.approx(25), 'the part of 1.5 images is one'
    assert found['mIoU_I_q67'] == pytest.approx(100 * (.25 + .625) / 2)
    assert found['mIoU_C_q50'] == pytest.approx(100 * np.mean([.75, 0, .5]))
    nothing = EvaluatedCounts(np.zeros((2, 2), int), np.array([0, 0]), *(np.zeros(0, int) for _ in range(4)), files=('a', ))
    assert all(math.isnan(value) for value in image_scores(nothing, 2).values())


def written(folder, **changes):
    metric = build(keep_counts=True)
    run(metric, random_samples(4, seed=1))
    arrays = metric.counts.arrays()
    report = {'per_image': 'm.counts.npz', 'per_image_sha256': digest(arrays), **changes}
    (folder / 'm.counts.npz').write_bytes(pack(arrays))
    (folder / 'm.json').write_text(json.dumps({key: value for key, value in report.items() if value is not None}))
    return metric.counts, arrays


def test_a_file_holds_what_was_counted(tmp_path):
    counts, arrays = written(tmp_path)
    read = EvaluatedCounts.load(tmp_path / 'm.json')
    assert read.files == counts.files
    for name, value in counts.arrays().items():
        np.testing.assert_array_equal(read.arrays()[name], value)
    metric = build(counts_out=str(tmp_path / 'own.npz'))
    run(metric, random_samples(4, seed=1))
    assert (tmp_path / 'own.npz').read_bytes() == pack(arrays), 'equal counts give equal bytes'


@pytest.mark.parametrize(('change', 'message'), [
    (lambda a: a['label'].__setitem__(0, a['label'][0] + 1), 'must have the sums of `confusion`'),
    (lambda a: a['intersection'].__setitem__(0, -1), '`intersection` must be between'),
    (lambda a: a['indptr'].__setitem__(-1, 99), 'must have 99 entries'),
    (lambda a: a['class_index'].__setitem__(0, 9), '`class_index` must be in'),
    (lambda a: a.update(confusion=a['confusion'][:2]), '`confusion` must be a square'),
    (lambda a: a.update(files=a['files'][:2]), '`indptr` must be ascending'),
    (lambda a: a.update(files=np.array([1, 2, 3, 4])), '`files` must be names'),
    (lambda a: a['files'].__setitem__(0, '9.png'), '`per_image_sha256` does not fit'),
    (lambda a: a.pop('label'), 'label.npy'),
])
def test_a_changed_file_is_refused_in_one_line(tmp_path, change, message):
    _, arrays = written(tmp_path)
    change(arrays)
    (tmp_path / 'm.counts.npz').write_bytes(pack(arrays))
    with pytest.raises(ValueError, match=message) as caught:
        EvaluatedCounts.load(tmp_path / 'm.json')
    assert '\n' not in str(caught.value)
    assert 'm.json' in str(caught.value)


def test_missing_files_are_named(tmp_path):
    written(tmp_path, per_image='other.npz')
    with pytest.raises(FileNotFoundError, match=r"got 'other\.npz'"):
        EvaluatedCounts.load(tmp_path / 'm.json')
    with pytest.raises(FileNotFoundError, match=r'mmimb test --out'):
        EvaluatedCounts.load(tmp_path / 'none.json')
    for change, message in (({'per_image': None}, 'that names `per_image`'), ({'per_image_sha256': None}, 'does not fit')):
        written(tmp_path, **change)
        with pytest.raises(ValueError, match=message):
            EvaluatedCounts.load(tmp_path / 'm.json')
    with pytest.raises(ValueError, match=r'must be a path that ends with \.npz'):
        build(counts_out='counts.json')


def test_names_are_below_the_folder_that_all_share():
    assert shared_names(['/a/b/c/1.png', '/a/b/d/1.png']) == ('c/1.png', 'd/1.png')
    assert shared_names(['/a/b/1.png']) == ('1.png', )
    assert shared_names(['1.png', '/a/2.png']) == ('1.png', '/a/2.png')
    assert shared_names([]) == ()


def test_memory_of_20000_images_with_150_classes():
    """Under 1 KB for an image and 8 bytes for each class that occurs in it, measured."""
    rng = np.random.default_rng(0)
    occurring = [rng.choice(150, 15, replace=False) for _ in range(50)]
    matrices = [torch.zeros(150, 150, dtype=torch.int64) for _ in occurring]
    for matrix, classes in zip(matrices, occurring, strict=True):
        matrix[classes, classes] = 1000
    counter = ImageCounter(150)
    tracemalloc.start()
    for i in range(20_000):
        counter.add(f'/data/ade/ADEChallengeData2016/annotations/validation/ADE_val_{i:08d}.png', matrices[i % 50])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / 20_000 < 1024 + 8 * 15, held
    total = sum(matrices) * 400
    assert counter.gathered(total, 20_000).totals(150).sum() == 3 * 15 * 1000 * 20_000


def eroded_band(classes, c, valid, distance):
    """The paper's band of one class: its mask without the mask that is eroded ``distance`` times; the image's edge counts."""
    mask = ((classes == c) & valid).astype(np.uint8)
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return (mask - inner).astype(bool)


@pytest.mark.parametrize('distance', [1, 2, 3, 6])
def test_bands_are_those_of_the_paper(distance):
    rng = np.random.default_rng(distance)
    classes = np.kron(rng.integers(0, 4, (5, 6)), np.ones((7, 9), int))
    band = boundary_band(torch.tensor(classes), torch.ones(classes.shape, dtype=torch.bool), distance).numpy()
    for c in range(4):
        np.testing.assert_array_equal(band & (classes == c), eroded_band(classes, c, np.ones_like(classes, bool), distance))


def test_ignored_pixels_make_no_edge():
    label = torch.zeros(9, 9, dtype=torch.int64)
    valid = torch.ones(9, 9, dtype=torch.bool)
    valid[4, 4] = False
    inside = boundary_band(label, valid, 1)
    expected = torch.ones(9, 9, dtype=torch.bool)
    expected[1:-1, 1:-1] = False
    assert torch.equal(inside, expected), 'only the edge of the image'


def test_boundary_iou_is_that_of_the_paper_over_all_images():
    rng = np.random.default_rng(5)
    samples = []
    for i in range(3):
        label = np.kron(rng.integers(0, 3, (4, 5)), np.ones((8, 8), int))
        pred = np.roll(label, (i, 2), (0, 1))
        label[:, -3:] = 0 if i else 255
        samples.append(sample(pred, label))
    metric = BoundaryIoUMetric(width=0.04, groups=dict(head=['road'], tail=['sky', 'car']))
    metric.dataset_meta = {'classes': CLASSES}
    keys = metric.keys()
    found = run(metric, samples)
    assert list(found) == keys
    both, union = np.zeros(5), np.zeros(5)
    for one in samples:
        pred, label = maps(one)
        distance = band_width(32, 40, 0.04)
        assert distance == 2
        for c in range(5):
            if not (label == 255).any():
                bands = [eroded_band(a, c, label != 255, distance) for a in (pred, label)]
                both[c] += (bands[0] & bands[1]).sum()
                union[c] += (bands[0] | bands[1]).sum()
    partly = run(metric, samples[1:])
    for c, name in enumerate(CLASSES[:3]):
        assert partly[f'BoundaryIoU.{name}'] == pytest.approx(100 * both[c] / union[c], abs=.00501)
    assert partly['mBoundaryIoU'] == pytest.approx(100 * np.mean(both[:3] / union[:3]), abs=.00501)
    assert partly['mBoundaryIoU_tail'] == pytest.approx(100 * np.mean(both[1:3] / union[1:3]), abs=.00501)
    assert math.isnan(partly['BoundaryIoU.pole'])
    with pytest.raises(ValueError, match='`keep_counts` must be off'):
        BoundaryIoUMetric(keep_counts=True)
    with pytest.raises(ValueError, match='`width` must be'):
        BoundaryIoUMetric(width=0)
