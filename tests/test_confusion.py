"""Confusion counts and scores against a numpy oracle written from the definitions."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from support.largest import Largest

from mmimb.functional import confusion, confusion_matrix, scores


def oracle_counts(pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    for p, y in zip(pred.ravel(), label.ravel(), strict=True):
        if y != ignore_index:
            counts[y, p] += 1
    return counts


@pytest.mark.parametrize('ignore_index', [255, 0, 2, -1])
@pytest.mark.parametrize('dtype', [torch.int64, torch.int32, torch.int16])
def test_counts(ignore_index, dtype):
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, 4, (2, 9, 7)), rng.integers(0, 4, (2, 9, 7))
    label[rng.random(label.shape) < 0.2] = ignore_index
    pred[label == ignore_index] = 99  # what is predicted at ignored pixels never matters
    got = confusion_matrix(torch.tensor(pred, dtype=dtype), torch.tensor(label, dtype=dtype), 4, ignore_index)
    assert got.dtype == torch.int64
    np.testing.assert_array_equal(got.numpy(), oracle_counts(pred, label, 4, ignore_index))


def test_uint8_and_many_classes_do_not_overflow():
    label = torch.full((3, 3), 150, dtype=torch.uint8)
    pred = torch.full((3, 3), 149, dtype=torch.uint8)
    counts = confusion_matrix(pred, label, 151)
    assert counts[150, 149] == 9
    assert counts.sum() == 9


def test_all_ignored_and_empty():
    assert confusion_matrix(torch.zeros(4, dtype=torch.long), torch.full((4,), 255), 3).sum() == 0
    assert confusion_matrix(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), 3).shape == (3, 3)


@pytest.mark.parametrize('dtype', [torch.int64, torch.uint8])
def test_counted_in_parts_without_copies_of_the_maps(dtype, monkeypatch):
    monkeypatch.setitem(confusion.PART, 'cpu', 100)
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, 4, (37, 41)), rng.integers(0, 4, (37, 41))
    label[rng.random(label.shape) < 0.2] = 255
    maps = torch.tensor(pred).to(dtype), torch.tensor(label).to(dtype)
    with Largest(*maps) as largest:
        got = confusion_matrix(*maps, 4)
    np.testing.assert_array_equal(got.numpy(), oracle_counts(pred, label, 4, 255))
    assert largest.size <= 100
    label[-1, -1] = 7
    with pytest.raises(ValueError, match=r'`target` must be in .* got 7'):
        confusion_matrix(torch.tensor(pred), torch.tensor(label), 4)


def test_inputs_are_left_alone():
    pred, label = torch.tensor([7, 1]), torch.tensor([255, 1])
    confusion_matrix(pred, label, 2)
    assert pred.tolist() == [7, 1]
    assert label.tolist() == [255, 1]


@pytest.mark.parametrize(('pred', 'label', 'message'), [
    ([0, 1], [0, 3], r'`target` must be in \[0, 3\) or ignore_index=255, got 3'),
    ([0, 1], [0, -1], 'got -1'),
    ([0, 3], [0, 1], r'`pred` must be in \[0, 3\), got 3'),
    ([0, -1], [0, 1], r'`pred` must be in \[0, 3\), got -1'),
    ([0, 1, 2], [0, 1], '`pred` must have the shape'),
])
def test_bad_input(pred, label, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(torch.tensor(pred), torch.tensor(label), 3)


def test_no_host_sync_off_the_cpu():
    """A meta tensor under FakeTensorMode pretends to be another device: reading a value back to the host raises."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    with FakeTensorMode():
        pred = torch.zeros(2, 5, 5, dtype=torch.long, device='cuda' if torch.cuda.is_available() else 'meta')
        counts = confusion_matrix(pred, torch.zeros_like(pred), 3)
        assert counts.shape == (3, 3)
        assert counts.device.type == pred.device.type
        scores(counts)


def test_scores():
    counts = np.array([[5, 1, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    got = scores(torch.tensor(counts))
    np.testing.assert_allclose(got.iou, [5 / 8, 0, 0, np.nan])      # class 2 is only predicted: 0; class 3 is nowhere
    np.testing.assert_allclose(got.accuracy, [5 / 6, 0, np.nan, np.nan])
    np.testing.assert_allclose(got.precision, [5 / 7, 0, 0, np.nan])
    np.testing.assert_allclose(got.overall, 5 / 9)
    assert all(value.dtype == torch.float64 for value in got)


def test_scores_are_exact_beyond_float32():
    got = scores(torch.tensor([[2**40, 1], [0, 2**40 + 1]]))
    assert got.accuracy[0].item() == 2**40 / (2**40 + 1) != 1


def test_scores_of_nothing():
    assert all(value.isnan().all() for value in scores(torch.zeros(3, 3, dtype=torch.int64)))
