"""The loss on queries against independent float64 numpy, against mmdet's own, and over two ranks."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import QUERY_CASES
from mmengine import Config
from mmengine.registry import MODELS
from support.tiny_run import make_config, make_dataset, make_report

from mmimb.engine.embed_stats import embed_stats
from mmimb.testing import check_loss
from mmimb.testing.tested_loss import value_and_grad
from mmimb.weights import weights_of_queries

PIXELS, IMAGES = [9000, 800, 700, 60, 0], [400, 100, 90, 2, 0]
STATS = dict(pixels=PIXELS, images=IMAGES, num_images=400)
KIND = 'mmimb.QueryCrossEntropyLoss'


def build(**changes) -> torch.nn.Module:
    return MODELS.build(dict(type=KIND, stats=STATS, **changes)).train()


def batch(seed: int = 0, queries: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(6, (queries, ), generator=generator)
    return 3 * torch.randn(queries, 6, generator=generator, dtype=torch.float64), labels


def oracle_weights(max_ratio: float = 5.0, no_object: float = 0.1) -> np.ndarray:
    """Root of the inverse share, at most ``max_ratio`` times the smallest, mean 1 over the targets of all images."""
    raw = [min((max(IMAGES) / n)**0.5, max_ratio) if n else None for n in IMAGES]
    largest = max(value for value in raw if value is not None)
    weights = np.array([largest if value is None else value for value in raw])
    targets = [w for w, n in zip(weights, IMAGES, strict=True) for _ in range(n)]
    return np.append(weights / np.mean(targets), no_object)


def oracle(scores: torch.Tensor, labels: torch.Tensor, weights: np.ndarray, tau: float = 0.0) -> float:
    shift = np.append([tau * np.log(max(n, 1) / sum(max(m, 1) for m in IMAGES)) for n in IMAGES], 0.0)
    above, below = 0.0, 0.0
    for z, y in zip(scores.numpy() + shift, labels.tolist(), strict=True):
        above += weights[y] * -np.log(np.exp(z[y]) / np.exp(z).sum())
        below += weights[y]
    return above / below


@pytest.mark.parametrize('changes', [{}, dict(max_ratio=2.0), dict(max_ratio=1.0), dict(no_object=0.7), dict(no_object=0.0),
                                     dict(tau=1.0), dict(tau=0.3, max_ratio=100.0)], ids=str)
def test_oracle(changes) -> None:
    scores, labels = batch()
    weights = oracle_weights(*(changes.get(key, default) for key, default in (('max_ratio', 5.0), ('no_object', 0.1))))
    got = build(**changes)(scores, labels, torch.ones(len(labels), dtype=torch.long), avg_factor=torch.tensor(3.0))
    assert float(got) == pytest.approx(oracle(scores, labels, weights, changes.get('tau', 0.0)), rel=1e-12)
    given = [0.5, 2.0, 1.0, 3.0, 1.0, 0.2]
    got = build(class_weight=given, **changes)(scores, labels)
    assert float(got) == pytest.approx(oracle(scores, labels, np.array(given), changes.get('tau', 0.0)), rel=1e-12)


def test_weights_keep_the_balance_with_no_object() -> None:
    weights = weights_of_queries(STATS)
    np.testing.assert_allclose(weights, oracle_weights(), rtol=1e-12)
    assert np.average(weights[:-1], weights=IMAGES) == pytest.approx(1)
    assert weights[4] == weights[3] == max(weights)
    assert weights_of_queries(STATS, max_ratio=1)[:-1] == pytest.approx([1.0] * 5)


def test_queries_that_do_not_count() -> None:
    scores, labels = batch()
    weight = torch.ones(len(labels), dtype=torch.float64)
    weight[:3] = 0
    torch.testing.assert_close(build()(scores, labels, weight), build()(scores[3:], labels[3:]))
    nothing = torch.full_like(labels, 5)
    value, grad = value_and_grad(build(no_object=0), scores, nothing)
    assert (float(value), float(grad.abs().sum())) == (0, 0)
    empty = build()(scores[:0].requires_grad_(), labels[:0])
    assert empty.item() == 0
    empty.backward()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype) -> None:
    scores, labels = batch()
    scores = scores.to(dtype)
    got = build(tau=1.0)(scores, labels)
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(oracle(scores.double(), labels, oracle_weights(), 1.0), rel=1e-5)


def test_equal_to_the_loss_of_mmdet_with_uniform_weights() -> None:
    losses = pytest.importorskip('mmdet.models.losses')
    uniform = [1.0] * 5 + [0.1]
    scores, labels = batch()
    ones = torch.ones(len(labels), dtype=torch.long)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-6)):
        stock = losses.CrossEntropyLoss(use_sigmoid=False, loss_weight=2.0, class_weight=uniform)
        ours = MODELS.build(dict(type=KIND, use_sigmoid=False, reduction='mean', loss_weight=2.0, class_weight=uniform))
        z = scores.to(dtype)
        factor = z.new_tensor(uniform)[labels].sum()
        for pair in zip(*(value_and_grad_as_mmdet(loss, z, labels, ones, factor) for loss in (ours, stock)), strict=True):
            torch.testing.assert_close(*pair, rtol=tolerance, atol=1e-8)  # mmdet adds 1e-7 to the divisor
        same = MODELS.build(dict(type=KIND, stats=STATS, max_ratio=1.0, loss_weight=2.0))
        torch.testing.assert_close(same(z, labels, ones, avg_factor=factor), stock(z, labels, ones, avg_factor=factor),
                                   rtol=tolerance, atol=1e-8)


def value_and_grad_as_mmdet(loss, scores, labels, weight, factor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = scores.detach().requires_grad_()
    value = loss(leaf, labels, weight, avg_factor=factor)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize('case', QUERY_CASES, ids=str)
def test_contract(case) -> None:
    """Two ranks are one of the questions; a half of the questions is about pixels or about other weights."""
    answers = check_loss(case.cfg, num_classes=4)
    assert [f'{a.question}: {a.detail}' for a in answers if a.verdict == 'broken'] == []
    assert {a.question for a in answers if a.verdict == 'exempt'} == set(case.exempt)
    assert {a.question: a.verdict for a in answers}['sync_avg'] == 'holds'


def test_a_scheme_gives_the_weights_of_the_classes() -> None:
    loss = MODELS.build(dict(type=KIND, no_object=0.3, scheme=dict(type='mmimb.DifficultyBalanced', num_classes=5, tau=1.0),
                             class_weight=[9.0] * 6))
    scores, labels = batch()
    assert float(loss(scores, labels)) == pytest.approx(oracle(scores, labels, np.array([1.0] * 5 + [0.3])), rel=1e-12)
    loss.scheme.update(torch.tensor([0.9, 0.5, 0.1, 0.5, 0.5]))
    weights = np.append(loss.scheme.weight.numpy(), 0.3)
    assert float(loss(scores, labels)) == pytest.approx(oracle(scores, labels, weights), rel=1e-12)


@pytest.mark.parametrize(('changes', 'words'), [
    (dict(stats=dict(pixels=PIXELS)), r'`stats` must hold `images` for a loss on queries .*got pixel counts alone'),
    (dict(stats=dict(pixels=PIXELS, images=PIXELS)), r'numbers of images in `images` .*pixel counts \[9000, 800, 700\]'),
    (dict(stats=None), '`stats` must be given for QueryCrossEntropyLoss unless'),
    (dict(stats=None, tau=1.0, class_weight=[1.0] * 6), '`stats` must be given'),
    (dict(max_ratio=0.5), '`max_ratio` must be a finite number at least 1'), (dict(no_object=-1), '`no_object` must be'),
    (dict(tau=-1), '`tau` must be'), (dict(use_sigmoid=True), '`use_sigmoid` must be False'),
])
def test_bad_arguments(changes, words) -> None:
    with pytest.raises(ValueError, match=words):
        MODELS.build({**dict(type=KIND, stats=STATS), **changes})


@pytest.mark.parametrize(('changes', 'name'), [(dict(class_weight=[1.0] * 5), 'class_weight'), ({}, 'stats'), (
    dict(scheme=dict(type='mmimb.InverseFrequency', stats=dict(pixels=[3, 2]))), 'scheme')])
def test_wrong_lengths(changes, name) -> None:
    scores, labels = batch()
    with pytest.raises(ValueError, match=f'`{name}` must give a weight to each of the'):
        build(**changes)(scores if name != 'stats' else scores[:, :5], labels.clamp(max=4))


def query_config(tmp_path, **loss) -> Config:
    """A config whose head is one of queries, with statistics in a file."""
    stats = make_report(tmp_path / 'stats.json')
    cfg = Config.fromfile(make_config(tmp_path / 'tiny.py', make_dataset(tmp_path / 'data'), stats))
    cfg.model.decode_head = dict(type='Mask2FormerHead', num_classes=3, loss_cls=dict(type=KIND, **loss))
    cfg.stats = str(stats)
    return cfg


def test_training_writes_the_weights_into_the_config(tmp_path) -> None:
    cfg = query_config(tmp_path, stats=str(tmp_path / 'stats.json'), max_ratio=3.0, no_object=0.2)
    embed_stats(cfg)
    assert cfg.model.decode_head.loss_cls.class_weight == weights_of_queries(cfg.stats, 3.0, 0.2)
    assert cfg.model.decode_head.loss_cls.stats['images'] == [8, 8, 8]
    again = cfg.model.decode_head.loss_cls.class_weight
    embed_stats(cfg)
    assert cfg.model.decode_head.loss_cls.class_weight == again


@pytest.mark.parametrize(('loss', 'words'), [
    (dict(stats=dict(pixels=[5, 4, 3])), r'model.decode_head.loss_cls: `stats` must hold `images`'),
    (dict(class_weight=[1.0] * 3), r'`class_weight` must have one entry per class \(3\) and one for no object, got 3'),
    (dict(max_ratio=2.0), 'loss_cls: `stats` must be given where class_weight is not')])
def test_what_training_refuses(tmp_path, loss, words) -> None:
    with pytest.raises(ValueError, match=words):
        embed_stats(query_config(tmp_path, **loss))


def test_weights_from_a_file_and_of_a_scheme(tmp_path) -> None:
    (tmp_path / 'weights.json').write_text('[1, 2, 3, 0.5]')
    cfg = query_config(tmp_path, class_weight=str(tmp_path / 'weights.json'))
    embed_stats(cfg)
    assert cfg.model.decode_head.loss_cls.class_weight == [1, 2, 3, 0.5]
    cfg.model.decode_head.loss_cls = dict(type=KIND, scheme=dict(type='mmimb.DifficultyBalanced', num_classes=3), no_object=0.4)
    embed_stats(cfg)
    assert cfg.model.decode_head.loss_cls.class_weight == [1, 1, 1, 0.4]
