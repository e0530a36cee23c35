"""LongTailIoUMetric inside a real mmengine Runner: best checkpoint, TensorBoard, json log, NaN."""
from __future__ import annotations

import json
import math

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch.utils.data import Dataset

CLASSES = ('road', 'car', 'traffic light')
# What the toy model predicts in the validations after iterations 2, 4 and 6 for the labels road, road, car, light.
ANSWERS = ([[0, 2, 1, 0]], [[0, 0, 0, 2]], [[0, 0, 0, 0]])


@MODELS.register_module()
class ToySegmentor(BaseModel):
    """Gives the prepared answers, one for every validation."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.validations = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss':
            return {'loss_toy': self.weight.square().sum() + 1}
        from mmseg.structures import SegDataSample
        answer, self.validations = ANSWERS[self.validations], self.validations + 1
        image = SegDataSample(metainfo=dict(img_path='a.jpg'))
        image.gt_sem_seg = PixelData(data=torch.tensor([[[0, 0, 1, 2]]]))
        image.pred_sem_seg = PixelData(data=torch.tensor([answer]))
        return [image]


@DATASETS.register_module()
class ToyDataset(Dataset):
    @property
    def metainfo(self):
        return {'classes': CLASSES}

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return {'inputs': torch.zeros(1)}


def train(tmp_path, groups, save_best='mIoU_tail'):
    loader = dict(batch_size=1, num_workers=0, dataset=dict(type='ToyDataset'))
    runner = Runner(
        model=dict(type='ToySegmentor'), work_dir=str(tmp_path), experiment_name=tmp_path.name, default_scope='mmengine',
        train_dataloader=dict(loader, sampler=dict(type='InfiniteSampler')),
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=6, val_interval=2), val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='mmimb.LongTailIoUMetric', groups=groups),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        log_processor=dict(by_epoch=False), default_hooks=dict(
            logger=dict(type='LoggerHook', log_metric_by_epoch=False),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2, save_best=save_best, rule='greater')),
        visualizer=dict(type='Visualizer', name=tmp_path.name,
                        vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]))
    runner.train()
    return runner


def scalars_of_json(tmp_path):
    path, = tmp_path.glob('*/vis_data/scalars.json')
    return [row for row in map(json.loads, path.read_text().splitlines()) if 'mIoU' in row]


def scalars_of_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    path, = tmp_path.glob('*/vis_data/events.out.*')
    events = EventAccumulator(str(path)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()['scalars']}


def test_best_checkpoint_tensorboard_and_json(tmp_path):
    runner = train(tmp_path, groups=dict(head=['road'], tail=['traffic light']))
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_mIoU_tail_iter_4.pth']
    assert runner.message_hub.get_info('best_score') == 100
    rows = scalars_of_json(tmp_path)
    assert [row['mIoU_tail'] for row in rows] == [0, 100, 0]
    assert [row['step'] for row in rows] == [2, 4, 6]
    assert rows[1]['IoU.traffic light'] == 100
    board = scalars_of_tensorboard(tmp_path)
    assert board['mIoU_tail'] == [(2, 0), (4, 100), (6, 0)]
    assert board['IoU.road'] == [(2, pytest.approx(33.33)), (4, pytest.approx(66.67)), (6, 50)]
    assert {'mIoU', 'mAcc', 'aAcc', 'mIoU_head', 'Acc.car', 'Precision.car'} <= board.keys()


def test_undefined_precision_is_nan_and_not_the_value_of_the_validation_before(tmp_path):
    """mmengine logs the last value of a key that is missing: an undefined score must be there, as NaN."""
    train(tmp_path, groups=dict(tail=['traffic light']))
    precision = [row['Precision.car'] for row in scalars_of_json(tmp_path)]
    assert precision[0] == 100
    assert math.isnan(precision[1])
    assert math.isnan(scalars_of_tensorboard(tmp_path)['Precision.car'][1][1])


def test_nan_is_never_the_best_and_never_a_crash(tmp_path):
    runner = train(tmp_path, groups=dict(head=['road'], tail=[]))
    assert runner.iter == 6
    assert not list(tmp_path.glob('best_*'))
    assert all(math.isnan(row['mIoU_tail']) for row in scalars_of_json(tmp_path))
    assert all(math.isnan(value) for _, value in scalars_of_tensorboard(tmp_path)['mIoU_tail'])


def test_save_best_auto_takes_miou(tmp_path):
    train(tmp_path, groups=dict(tail=['traffic light']), save_best='auto')
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_mIoU_iter_4.pth']
