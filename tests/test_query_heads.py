"""Heads that classify queries: adjusted after training, measured while they train, averaged over views."""
from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from support.tiny_run import CLASSES, make_config, make_dataset, make_report
from support.zoo import FAMILIES, shrunk
from torch import nn

from mmimb.engine.evaluation import TestOptions, evaluate
from mmimb.engine.posthoc import Correction
from mmimb.engine.training import TrainOptions, build_runner, prepare
from mmimb.heads import TTAModel, classifies_queries, head_losses
from mmimb.hooks.difficulty.meter import DifficultyMeter
from mmimb.hooks.difficulty.watched import watch_iterations, watch_queries
from mmimb.losses import QueryCrossEntropyLoss
from mmimb.stack import lacking

IMAGES = [40, 9, 3]
STATS = dict(pixels=[4000, 300, 50], images=IMAGES, num_images=40)
needs_mmdet = pytest.mark.skipif(bool(lacking('Mask2FormerHead')), reason='mmdet or compiled operators are missing')


class Mask2FormerHead(nn.Module):
    """What the code needs of a head of queries; the name is what it goes by."""

    num_classes, ignore_index = 3, 255

    def __init__(self, queries: int = 7) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.features = torch.randn(2, queries, 5, generator=generator)
        self.masks = 2 * torch.randn(2, queries, 8, 6, generator=generator)
        self.cls_embed = nn.Linear(5, 4)
        nn.init.normal_(self.cls_embed.weight, generator=generator)
        self.loss_cls = QueryCrossEntropyLoss(STATS)
        self.computed = 0

    def forward(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [self.features[..., :4], self.cls_embed(self.features)], [-self.masks, self.masks]

    def predict(self) -> torch.Tensor:
        scores, masks = self()
        return torch.einsum('nqc,nqhw->nchw', scores[-1].softmax(-1)[..., :-1], masks[-1].sigmoid())

    def loss_by_feat(self, scores: Any, masks: Any, instances: Any, metas: Any) -> dict:
        self.computed += 1
        return {}


def semantic_map(head: Mask2FormerHead, shift: np.ndarray) -> np.ndarray:
    """Sum over queries of the softmax of shifted scores times the sigmoid of masks, in float64."""
    with torch.no_grad():
        scores, masks = (part[-1].double().numpy() for part in head())
    scores = np.exp(scores + shift)
    return np.einsum('nqc,nqhw->nchw', (scores / scores.sum(-1, keepdims=True))[..., :-1], 1 / (1 + np.exp(-masks)))


@pytest.mark.parametrize('tau', [-0.5, 0.0, 0.7])
@pytest.mark.parametrize('way', ['queries', 'map', None])
def test_logit_adjustment(way, tau) -> None:
    head = Mask2FormerHead()
    log = np.log(np.array(IMAGES) / sum(IMAGES))
    nothing = np.zeros(4)
    expected = (semantic_map(head, np.append(-tau * log, 0)) if way == 'queries' else
                semantic_map(head, nothing) * np.exp(-tau * log)[:, None, None])
    model = nn.Module()
    model.decode_head = head
    Correction(logit_adjustment=tau, stats=STATS, queries=way).apply(model)
    np.testing.assert_allclose(head.predict().detach().numpy(), expected, rtol=1e-5, atol=1e-7)


def test_what_cannot_be_adjusted() -> None:
    model = nn.Module()
    model.decode_head = Mask2FormerHead()
    with pytest.raises(ValueError, match='`--query-adjustment` must be one of'):
        Correction(logit_adjustment=1.0, stats=STATS, queries='masks')
    with pytest.raises(ValueError, match='`--query-adjustment` must be with --logit-adjustment'):
        Correction(queries='map')
    with pytest.raises(ValueError, match='`stats` must hold `images`'):
        Correction(logit_adjustment=1.0, stats=dict(pixels=[3, 2, 1])).apply(model)
    with pytest.raises(ValueError, match=r'--tau-normalization.*Mask2FormerHead, which classifies in another way'):
        Correction(tau_normalization=1.0).apply(model)
    model.decode_head.cls_embed = None
    with pytest.raises(ValueError, match='must be map for Mask2FormerHead'):
        Correction(logit_adjustment=1.0, stats=STATS, queries='queries').apply(model)
    model.decode_head = type('FCNHead', (nn.Module, ), {})()
    with pytest.raises(ValueError, match='must meet a head that classifies queries, got FCNHead'):
        Correction(logit_adjustment=1.0, stats=STATS, queries='map').apply(model)


def test_a_head_of_queries_is_known_by_its_bases() -> None:
    head = type('Mine', (Mask2FormerHead, ), {})()
    assert classifies_queries(head)
    assert head_losses(head) == [head.loss_cls]
    assert not classifies_queries(nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize('stride', [1, 4])
def test_the_last_semantic_map_is_counted(stride) -> None:
    head = Mask2FormerHead().train()
    labels = torch.randint(3, (2, 16, 12), generator=torch.Generator().manual_seed(1))
    labels[0, :5] = 255
    labels[1] = 255  # no target at all
    instances = []
    for label in labels:
        present = label.unique()[label.unique() != 255]
        masks = [label == c for c in present]
        instances.append(InstanceData(labels=present, masks=torch.stack(masks).long() if masks else label.new_zeros(0, 16, 12)))
    meter = DifficultyMeter(3, 0.9)
    watch = watch_queries(head, meter, stride=stride)
    head.loss_by_feat(*head(), instances, [])
    with torch.no_grad():
        head.loss_by_feat(*head(), instances, [])
    head.eval().loss_by_feat(*head(), instances, [])
    assert head.computed == 3
    shown = nn.functional.interpolate(head.masks, (16, 12), mode='bilinear').sigmoid()
    classes = torch.einsum('nqc,nqhw->nchw', head()[0][-1].softmax(-1)[..., :-1], shown).argmax(1)
    part = slice(stride // 2, None, stride)
    prediction, label = classes[:, part, part].numpy(), labels[:, part, part].numpy()
    valid = label != 255
    for c in range(3):
        hits = int(((prediction == c) & (label == c)).sum())
        assert meter.counts[:, c].tolist() == [hits, (label == c).sum(), ((prediction == c) & valid).sum()]
    watch.remove()
    head.train().loss_by_feat(*head(), instances, [])
    assert int(meter.counts[1].sum()) == valid.sum()


def test_the_last_iteration_of_k_net_is_counted() -> None:
    """Its losses are given every stage."""
    head = nn.Module()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 4, 4, dtype=torch.long))) for _ in range(2)]
    head.align_corners, head.ignore_index, head.loss_by_feat = False, 255, lambda *args: {}
    wrong, right = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    wrong[:, 1], right[:, 0] = 1, 1
    meter = DifficultyMeter(3, 0.9)
    watch_iterations(head.train(), meter, stride=1)
    head.loss_by_feat([wrong, wrong, right], samples)
    assert meter.counts[:, 0].tolist() == [32, 32, 32]


def test_views_are_averaged_as_they_are() -> None:
    model = object.__new__(TTAModel)
    nn.Module.__init__(model)
    model.module = nn.Module()
    model.module.decode_head = Mask2FormerHead()
    values = torch.rand(3, 2, 2)
    assert torch.equal(model._values(values), values)


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[Path, Any]:
    """Train a tiny Mask2Former for two iterations with weights that follow difficulty; return its config and its runner."""
    folder = tmp_path_factory.mktemp('queries')
    family = next(family for family in FAMILIES if family.head == 'Mask2FormerHead')
    model = shrunk(family).to_dict()
    model['decode_head']['loss_cls'] = dict(type='mmimb.QueryCrossEntropyLoss', loss_weight=2.0, scheme=dict(
        type='mmimb.DifficultyBalanced', num_classes=3, tau=1.0))
    text = f'''
model = {model!r}
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=5)
custom_hooks = [dict(type='mmimb.ClassWeightHook', source='train', interval=1)]
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))
'''
    config = make_config(folder / 'tiny.py', make_dataset(folder / 'data'), make_report(folder / 'stats.json'), text)
    cfg, _, _ = prepare(TrainOptions(str(config), work_dir=str(folder / 'work'), seed=0))
    runner = build_runner(cfg)
    runner.train()
    return config, runner


@needs_mmdet
def test_weights_follow_difficulty(trained) -> None:
    head = trained[1].model.decode_head
    assert head.class_weight == [1, 1, 1, 0.1]
    weight = head.loss_cls.scheme
    assert float(weight.weight.std()) > 0
    torch.testing.assert_close(weight.weight.mean(), torch.tensor(1.0, dtype=torch.float64))
    assert 'loss_by_feat' not in vars(head)
    table = next(Path(trained[1].work_dir).glob('**/class_weights.csv')).read_text()
    assert 'decode_head.loss_cls' in table


@needs_mmdet
@pytest.mark.parametrize('way', ['queries', 'map'])
def test_the_tool_adjusts_a_trained_model(trained, way, tmp_path) -> None:
    config, runner = trained
    options = TestOptions(str(config), str(Path(runner.work_dir) / 'iter_2.pth'), work_dir=str(tmp_path), logit_adjustment=0.5,
                          stats=str(config.parent / 'stats.json'), query_adjustment=way)
    report = evaluate(options)
    assert report['query_adjustment'] == way
    assert set(report['classes']) == set(CLASSES)


def test_the_measured_table_is_that_of_the_results() -> None:
    with (ROOT / 'benchmarks/results/demo_queries.csv').open(encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    text = (ROOT / 'docs/heads.md').read_text(encoding='utf-8')
    lines = re.findall(r"^\| (?:none|`(\w+)`, (-?[\d.]+)) \| (.* / .*) \|$", text, re.M)
    assert len(lines) == 9
    for way, tau, cells in lines:
        expected = []
        for arm, split in itertools.product(('uniform', 'weights', 'tau'), ('val', 'test')):
            found = [row for row in rows if (row['arm'], row['split'], row['adjustment'], float(row['tau'])) == (
                arm, split, way or 'none', float(tau or 0))]
            assert len(found) == 2
            expected.append(' / '.join(f"{np.mean([float(row[key]) for row in found]):.1f}" for key in ('mIoU', 'mIoU_tail')))
        assert cells.split(' | ') == expected
