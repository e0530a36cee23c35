"""The configs of K-Net and Mask2Former: MMSegmentation's networks, and a child that changes the losses on classes alone."""
from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT
from mmengine import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from support.zoo import MMSEG

from mmimb.engine.check_heads import check_heads
from mmimb.engine.embed_stats import embed_stats
from mmimb.loss_places import OTHER, loss_places
from mmimb.stack import lacking
from mmimb.weights import weights_of_queries

FOLDER = ROOT / 'configs/masks'
BASELINES = sorted(FOLDER.glob('*_ce.py'))
ROOTS = sorted(FOLDER.glob('*_ce-root.py'))
NAME = {'ids': lambda path: path.stem}


def without_losses(model: Any) -> dict[str, Any]:
    """Return a model without its losses and the places where configs write the same in different ways."""
    if isinstance(model, dict):
        return {key: without_losses(value) for key, value in model.items()
                if not str(key).startswith('loss_') and key not in ('pretrained', 'init_cfg', 'size')}
    if isinstance(model, (list, tuple)):
        return [without_losses(value) for value in model]
    return model


def test_there_are_pairs() -> None:
    assert [path.stem.removesuffix('-root') for path in ROOTS] == [path.stem for path in BASELINES]
    assert len(BASELINES) == 4


@pytest.mark.parametrize('path', BASELINES, **NAME)
def test_networks_are_those_of_mmseg(path) -> None:
    cfg = Config.fromfile(path)
    official = next(iter(MMSEG.glob(f'*/{path.stem.removesuffix("_ce")}.py')), None)
    if official is None:  # K-Net on Cityscapes: that of ADE20K, with other classes
        official = next(MMSEG.glob('knet/knet-s3_r50-d8_fcn_*.py'))
    theirs = Config.fromfile(official, import_custom_modules=False)
    ours, other = without_losses(cfg.model.to_dict()), without_losses(theirs.model.to_dict())
    if 'knet' in path.stem:
        for head in other['decode_head']['kernel_update_head']:
            head.pop('num_classes')  # it is not looked at
        if 'cityscapes' in path.stem:
            other['decode_head']['kernel_generate_head']['num_classes'] = other['auxiliary_head']['num_classes'] = 19
    assert ours == other
    wrapper, official_wrapper = cfg.optim_wrapper.to_dict(), theirs.optim_wrapper.to_dict()
    assert wrapper == official_wrapper
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.train_cfg.max_iters == theirs.train_cfg.max_iters == max(entry.end for entry in cfg.param_scheduler)
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0


@pytest.mark.parametrize('path', ROOTS, **NAME)
def test_the_child_changes_the_losses_on_classes_alone(path) -> None:
    cfg, base = Config.fromfile(path), Config.fromfile(path.with_name(path.name.replace('-root', '')))
    assert without_losses(cfg.model.to_dict()) == without_losses(base.model.to_dict())
    assert {**cfg.to_dict(), 'model': None, 'weight': None} == {**base.to_dict(), 'model': None, 'weight': None}
    for one, old in zip(loss_places(cfg.model), loss_places(base.model), strict=True):
        assert (one.loss != old.loss) == (one.learns != OTHER)
        assert one.loss.get('loss_weight', 1.0) == old.loss.get('loss_weight', 1.0)


@pytest.mark.parametrize('path', BASELINES + ROOTS, **NAME)
def test_it_builds_and_passes_the_checks(path) -> None:
    cfg = Config.fromfile(path)
    init_default_scope('mmseg')
    classes = len(DATASETS.get(cfg.dataset_type).METAINFO['classes'])
    stats = {'pixels': [10**6 - c for c in range(classes)], 'images': [900 - c for c in range(classes)]}
    for one in loss_places(cfg.model):
        for node in (one.loss, one.loss.get('class_weight')):
            if isinstance(node, dict) and 'stats' in node:
                node['stats'] = stats
    cfg.train_dataloader = cfg.weight = None  # the former needs the data, the latter is in the model
    cfg.val_evaluator = cfg.test_evaluator = None
    if lacking(cfg.model.decode_head.type):
        with pytest.raises(ImportError, match='Mask2FormerHead, which needs mmdet'):
            check_heads(cfg)
        return
    check_heads(cfg)
    embed_stats(cfg)
    head = cfg.model.decode_head
    if 'loss_cls' in head:
        assert len(head.loss_cls.class_weight) == classes + 1
        if path in ROOTS:
            assert head.loss_cls.class_weight == weights_of_queries(stats)
    cfg.model.backbone.init_cfg = None
    MODELS.build(head)
