"""ClassStats: what it accepts, what it refuses, and that modules read it when they should."""
from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from mmimb.losses import CrossEntropyLoss, OutlyingMSELoss
from mmimb.stats import ClassStats

GOOD = dict(version=1, classes=['road', 'car'], pixels=[90, 10], images=[3, 2], image_pixels=[100, 80], num_images=4,
            ignored_pixels=7, provenance={'dataset': 'CamVidDataset'})


def test_a_report_survives_the_round_trip(tmp_path) -> None:
    path = tmp_path / 'stats.json'
    path.write_text(json.dumps(GOOD))
    stats = ClassStats.load(path)
    assert stats == ClassStats.load(stats) == ClassStats.load(str(path)) == ClassStats.load(stats.to_dict())
    assert {**stats.to_dict(), 'version': 1} == GOOD
    assert pickle.loads(pickle.dumps(stats)) == stats
    assert stats.counts('images').tolist() == [3.0, 2.0]


def test_numpy_and_big_counts_stay_exact() -> None:
    stats = ClassStats(pixels=np.array([2**53 + 1, 5]), images=(np.int64(2), np.int32(1)))
    assert stats.pixels == (2**53 + 1, 5)
    assert all(type(n) is int for n in stats.images)


def test_groups_are_thirds_by_frequency() -> None:
    sizes = {c: [len(g) for g in ClassStats(pixels=range(1, c + 1)).groups().values()] for c in (1, 2, 3, 11, 19, 150)}
    assert sizes == {1: [1, 0, 0], 2: [1, 1, 0], 3: [1, 1, 1], 11: [4, 4, 3], 19: [7, 6, 6], 150: [50, 50, 50]}
    assert ClassStats(pixels=(5, 5, 9, 1)).order() == [2, 0, 1, 3]


@pytest.mark.parametrize(('change', 'words'), [
    (dict(pixels=[90, -1]), r'`pixels\[1\]` must be in'),
    (dict(pixels=[90, 1.5]), r'`pixels\[1\]` must be an integer, got 1.5'),
    (dict(pixels=[90, True]), r'`pixels\[1\]` must be an integer, got True'),
    (dict(pixels=[90, float('nan')]), r'`pixels\[1\]` must be an integer, got nan'),
    (dict(pixels=[90, 10**30]), r'`pixels\[1\]` must be in'),
    (dict(pixels='90'), r'`pixels` must be a list'),
    (dict(pixels={'road': 90}), r'`pixels` must be a list'),
    (dict(pixels=[]), r'`pixels` must have at least one class'),
    (dict(pixels=[0, 0], images=[0, 0]), r'`pixels` must have at least one labelled pixel'),
    (dict(pixels=None), r'`pixels` must be a list'),
    (dict(images=[3]), r'`images` must have one entry per class \(2, as `pixels`\), got 1'),
    (dict(images=[3, 0]), r'`images` must fit `pixels`'),
    (dict(images=[3, 11]), r'`images` must fit `pixels`'),
    (dict(num_images=2), r'`num_images` must be at least every entry of `images`'),
    (dict(image_pixels=[89, 80]), r'`image_pixels` must be at least `pixels`'),
    (dict(classes=['road']), r'`classes` must have one entry per class'),
    (dict(classes='ab'), r'`classes` must be a list of names'),
    (dict(provenance=3), r'`provenance` must be a mapping'),
    (dict(image=[3, 2]), "must have keys among .*, got 'image'"),
    (dict(version=2), r'`version` must be 1, got 2; scan again'),
])
def test_bad_reports_are_refused_in_one_line(tmp_path, change, words) -> None:
    path = tmp_path / 'stats.json'
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        ClassStats.load(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('content', 'words'), [
    (b'', 'must be a JSON report'), (b'{"pixels": [1,', 'must be a JSON report'), (b'\xff\xfe', 'must be a JSON report'),
    (b'[1, 2]', 'with a list'), (b'{"images": [1]}', 'must have the key `pixels`'), (b'[' * 100000, 'must be a JSON report'),
])
def test_no_report_at_all(tmp_path, content, words) -> None:
    path = tmp_path / 'stats.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        ClassStats.load(path)
    with pytest.raises(FileNotFoundError, match='no such file'):
        ClassStats.load(tmp_path / 'missing.json')
    with pytest.raises(TypeError, match='must be a report path'):
        ClassStats.load(7)


def test_require_and_fit_say_what_is_missing() -> None:
    stats = ClassStats(pixels=(1, 2), classes=('a', 'b'))
    with pytest.raises(ValueError, match='`stats` must hold `images`'):
        stats.counts('images')
    with pytest.raises(ValueError, match="`kind` must be 'pixels'"):
        stats.counts('frequency')
    with pytest.raises(ValueError, match='`stats` must have the 3 classes of the head, got 2'):
        stats.fit(3, where='the head')
    with pytest.raises(ValueError, match="class 1 is 'c' there, got statistics with 'b'"):
        stats.fit(2, ('a', 'c'))
    assert stats.fit(2, ['a', 'b']) is stats


def test_a_file_is_read_when_training_starts_and_not_before(tmp_path) -> None:
    loss = OutlyingMSELoss(str(tmp_path / 'later.json')).eval()
    assert loss.labels.numel() == 0
    with pytest.raises(FileNotFoundError, match=r'later\.json'):
        loss.train()
    (tmp_path / 'later.json').write_text(json.dumps(GOOD))
    assert loss.train().labels.tolist() == [33.0, 66.0]
    (tmp_path / 'later.json').unlink()
    assert loss.eval().train().labels.tolist() == [33.0, 66.0]
    with pytest.raises(ValueError, match='`pixels`'):
        OutlyingMSELoss(dict(images=[1]))


def test_first_forward_reads_the_file_too(tmp_path) -> None:
    path = tmp_path / 'stats.json'
    path.write_text(json.dumps(GOOD))
    assert OutlyingMSELoss(path)(torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)).isfinite()


@pytest.mark.parametrize('suffix', ['.json', '.yaml', '.yml', '.npy'])
def test_class_weight_files(tmp_path, suffix) -> None:
    path = tmp_path / f'weights{suffix}'
    loss = CrossEntropyLoss(class_weight=str(path)).eval()
    if suffix == '.npy':
        np.save(path, np.array([1.0, 3.0]))
    else:
        path.write_text('[1.0, 3.0]')
    assert loss.train().class_weight.weight.tolist() == [1.0, 3.0]


def test_bad_class_weight_files(tmp_path) -> None:
    path = tmp_path / 'weights.npy'
    with pytest.raises(FileNotFoundError, match='`class_weight` must be an existing file'):
        CrossEntropyLoss(class_weight=path).train()
    np.save(path, np.array([{'runs': 'code'}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r'`class_weight` must be a readable \.npy file'):
        CrossEntropyLoss(class_weight=path).train()
    (tmp_path / 'weights.json').write_text('{"road": 1}')
    with pytest.raises(TypeError, match='`class_weight` must be a list of numbers'):
        CrossEntropyLoss(class_weight=tmp_path / 'weights.json').train()


def test_vectors_keep_their_precision_in_half_models() -> None:
    labels = OutlyingMSELoss(dict(pixels=[100, 10, 50, 7, 3, 2, 1])).half().labels
    assert labels.dtype is torch.float64
    assert labels.tolist() == pytest.approx([66 / 7 * r for r in (1, 3, 2, 4, 5, 6, 7)], rel=1e-15)
    assert OutlyingMSELoss(dict(pixels=[2, 1])).to('meta').labels.device.type == 'meta'


@pytest.mark.parametrize('alpha', [0, -1, float('inf'), True, 'big'])
def test_alpha_is_checked(alpha) -> None:
    with pytest.raises(ValueError, match='`alpha` must be a finite number above 0'):
        OutlyingMSELoss(dict(pixels=[2, 1]), alpha=alpha)


@pytest.mark.parametrize(('argument', 'words'), [('label', '`label` must be one of'), ('order', '`order` must be one of')])
def test_label_function_is_checked(argument, words) -> None:
    with pytest.raises(ValueError, match=words):
        OutlyingMSELoss('not read yet.json', **{argument: 'exp'})


@pytest.mark.parametrize('label', ['rank', 'log', 'sqrt', 'uniform'])
@pytest.mark.parametrize('pixels', [[5], [5, 0, 0], [7, 7, 7], [10**10, 1]])
def test_corner_counts_give_finite_targets(label, pixels) -> None:
    for order in ('rare_large', 'frequent_large'):
        labels = OutlyingMSELoss(dict(pixels=pixels), label=label, order=order).labels
        assert labels.isfinite().all()
        assert labels.max() == pytest.approx(66.0)
        assert labels.min() > 0
