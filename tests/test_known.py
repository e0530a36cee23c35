"""Published counts by name: what the files say, where the name works, and what it is refused for."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmimb.engine.embed_stats import embed_stats
from mmimb.losses import CrossEntropyLoss, DistributionBalancedLoss, LogitAdjustmentLoss
from mmimb.metrics import LongTailIoUMetric
from mmimb.sampling import RareClassCrop, RareClassSampler
from mmimb.stats import ClassStats, PerImageCounts, known_names
from mmimb.stats.report_json import read_object
from mmimb.weights import InverseFrequency, MedianFrequency

DATASET_OF = {'mmimb::ade20k': ADE20KDataset, 'mmimb::cityscapes': CityscapesDataset}
# Shares of all pixels in the makers' table (objectInfo150.txt of CSAILVision/sceneparsing), first 20 classes.
ADE20K_SHARES = (.1576, .1072, .0878, .0621, .0480, .0450, .0398, .0231, .0198, .0183, .0181, .0166, .0160, .0151, .0118, .0110,
                 .0109, .0104, .0104, .0103)


@pytest.fixture(params=known_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_file_has_the_classes_of_its_dataset_and_a_source(name: str) -> None:
    stats = ClassStats.load(name)
    assert stats.classes == tuple(DATASET_OF[name].METAINFO['classes'])
    assert stats.provenance['published'] == name
    assert stats.provenance['dataset'] == DATASET_OF[name].__name__
    assert stats.provenance['source'].startswith('https://github.com/')
    assert min(stats.images or ()) > 0


def test_cityscapes_counts_add_up_to_the_size_of_its_images() -> None:
    stats = ClassStats.load('mmimb::cityscapes')
    assert sum(stats.pixels) + (stats.ignored_pixels or 0) == 2975 * 1024 * 2048
    assert stats.groups()['tail'] == [14, 15, 16, 6, 12, 17]


def test_ade20k_shares_are_those_of_its_makers() -> None:
    pixels = np.array(ClassStats.load('mmimb::ade20k').pixels, np.float64)
    ours, theirs = pixels[:20] / pixels.sum(), np.array(ADE20K_SHARES)
    labelled = theirs.sum() / ours.sum()
    assert 0.92 < labelled < 0.94
    np.testing.assert_allclose(ours * labelled, theirs, atol=7e-4)


def test_a_changed_file_is_refused(name: str, tmp_path: Path) -> None:
    from mmimb.stats.known import known_path
    path = known_path(name)
    assert path is not None
    data = read_object(path, 'stats')
    data['pixels'][3] += 1
    (tmp_path / 'changed.json').write_text(json.dumps(data))
    with pytest.raises(ValueError, match='counts_sha256'):
        ClassStats.load(tmp_path / 'changed.json')


@pytest.mark.parametrize('wrong', ['mmimb::', 'mmimb::coco', 'mmimb::../known/cityscapes', 'mmimb::Cityscapes', 'mmimb::*'])
def test_another_name_is_refused_with_those_there_are(wrong: str) -> None:
    with pytest.raises(ValueError, match='must be one of mmimb::ade20k, mmimb::cityscapes or the path') as caught:
        ClassStats.load(wrong)
    assert '\n' not in str(caught.value)


def test_losses_weights_metric_and_crop_take_the_name() -> None:
    stats = ClassStats.load('mmimb::cityscapes')
    shares = np.array(stats.pixels, np.float64) / sum(stats.pixels)
    loss = LogitAdjustmentLoss('mmimb::cityscapes').train()
    np.testing.assert_allclose(loss.bias.numpy(), np.log(shares))
    weight = InverseFrequency('mmimb::cityscapes', power=0.5)
    weight.train()
    expected = shares ** -0.5 / (shares ** -0.5).mean()
    np.testing.assert_allclose(weight.weight.numpy(), expected)
    DistributionBalancedLoss('mmimb::cityscapes').train()(torch.randn(1, 19, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
    metric = LongTailIoUMetric('mmimb::cityscapes')
    metric.dataset_meta = CityscapesDataset.METAINFO
    assert metric.class_groups()['tail'][-1] == 'motorcycle'
    assert RareClassCrop((4, 4), stats='mmimb::cityscapes', min_pixels=1).pixels == stats.pixels


def test_what_needs_more_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match='every image, got the published counts') as caught:
        PerImageCounts.load(name)
    assert '\n' not in str(caught.value)
    weight = MedianFrequency(name)
    with pytest.raises(ValueError, match=f"hold `image_pixels` for this use .*, got the published counts '{name}'"):
        weight.train()


@pytest.fixture
def tree(tmp_path: Path) -> Config:
    """Two images in the layout of Cityscapes."""
    files = ('leftImg8bit', '_leftImg8bit.png', (8, 8, 3)), ('gtFine', '_gtFine_labelTrainIds.png', (8, 8))
    for folder, suffix, shape in files:
        (tmp_path / folder / 'train/aachen').mkdir(parents=True)
        for image in range(2):
            path = tmp_path / folder / 'train/aachen' / f'aachen_{image:06}_000019{suffix}'
            Image.fromarray(np.zeros(shape, np.uint8)).save(path)
    dataset = dict(type='CityscapesDataset', _scope_='mmseg', data_root=str(tmp_path), data_prefix=dict(
        img_path='leftImg8bit/train', seg_map_path='gtFine/train'), pipeline=[dict(type='LoadAnnotations')])
    return Config(dict(default_scope='mmseg', train_dataloader=dict(dataset=dataset)))


def test_tools_tell_the_source_and_the_other_number_of_images(tree: Config) -> None:
    tree.model = dict(decode_head=dict(num_classes=19, loss_decode=dict(type='mmimb.VSLoss', stats='mmimb::cityscapes')))
    told = embed_stats(tree)
    assert len(told) == 2
    assert "'mmimb::cityscapes' are published counts of 2975 images" in told[0]
    assert 'Parametric-Contrastive-Learning' in told[0]
    assert 'of 2975 images, and train_dataloader.dataset has 2' in told[1]
    assert tree.model.decode_head.loss_decode.stats.pixels[0] == 2036416525
    assert embed_stats(tree) == told  # the dumped config says so again


def test_a_sampler_is_refused_before_anything_starts(tree: Config) -> None:
    tree.train_dataloader.sampler = dict(type='mmimb.RareClassSampler', stats='mmimb::cityscapes')
    with pytest.raises(ValueError, match=r'train_dataloader\.sampler: `stats` must be the path .* published counts'):
        embed_stats(tree)
    dataset = DATASETS.build(tree.train_dataloader.dataset)
    with pytest.raises(ValueError, match='published counts'):
        RareClassSampler(dataset, stats='mmimb::cityscapes')


def test_other_classes_are_refused(tree: Config) -> None:
    tree.model = dict(decode_head=dict(num_classes=150, loss_decode=dict(type='mmimb.VSLoss', stats='mmimb::ade20k')))
    with pytest.raises(ValueError, match='must have the 19 classes of the training dataset, got 150'):
        embed_stats(tree)


def test_a_class_weight_in_a_config(tree: Config) -> None:
    loss = CrossEntropyLoss(class_weight=dict(type='mmimb.InverseFrequency', stats='mmimb::cityscapes', power=0.5)).train()
    value = loss(torch.zeros(1, 19, 2, 2), torch.full((1, 2, 2), 17))
    assert float(value) > np.log(19)  # motorcycles are rare
