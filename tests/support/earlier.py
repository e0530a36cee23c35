"""The dataset and the training that ``tests/data/earlier`` was made of, the same bytes on every machine."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / 'data/earlier'
VERSION = '0.1.0'  # of mmimb, when the files were made
CLASSES = ('road', 'car', 'sign')
SIZE = 32
TIME = 1_700_000_000  # of every file, in seconds
CONFIG = '''
default_scope = 'mmseg'
classes = {classes!r}
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
data = dict(type='BaseSegDataset', data_root='data', img_suffix='.bmp', seg_map_suffix='.bmp',
            metainfo=dict(classes=classes), pipeline=load)
train = dict(**data, data_prefix=dict(img_path='images/train', seg_map_path='labels/train'))
val = dict(**data, test_mode=True, data_prefix=dict(img_path='images/val', seg_map_path='labels/val'))
messy = dict(**data, data_prefix=dict(img_path='images/messy', seg_map_path='labels/messy'))
norm = dict(type='GN', num_groups=2)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[60.] * 3, bgr_to_rgb=True, pad_val=0,
                           seg_pad_val=255, size=({size}, {size})),
    backbone=dict(type='UNet', base_channels=2, num_stages=2, strides=(1, 1), enc_num_convs=(1, 1), dec_num_convs=(1, ),
                  downsamples=(True, ), enc_dilations=(1, 1), dec_dilations=(1, ), norm_cfg=norm),
    decode_head=dict(type='FCNHead', in_channels=2, in_index=-1, channels=2, num_convs=1, num_classes=3, norm_cfg=norm,
                     dropout_ratio=0, loss_decode=dict(type='mmimb.CrossEntropyLoss', class_weight=dict(
                         type='mmimb.DifficultyBalanced', num_classes=3, max_ratio=None))),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
train_dataloader = dict(batch_size=2, num_workers=0, dataset=train,
                        sampler=dict(type='mmimb.DifficultySampler', stats='train.json', delay=2))
val_dataloader = dict(batch_size=1, num_workers=0, dataset=val, sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = dict(type='mmimb.LongTailIoUMetric', stats='train.json')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10, val_interval={val_interval})
val_cfg = dict(type='ValLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=10, by_epoch=False)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
                     checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=6, max_keep_ckpts=3))
custom_hooks = [dict(type='mmimb.ClassWeightHook', {hook})]
log_processor = dict(by_epoch=False)
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
randomness = dict(seed=3)
'''
HOOKS = {
    'train': "source='train', interval=4",
    'holdout': "source='holdout', interval=4, dataloader=dict(dataset=val)",
    'val': "source='val'",
}


def write_dataset(root: Path) -> Path:
    """Write ``train``, ``val`` and ``messy``: labels with a value that is no class, of another size than the image, a copy."""
    for split, count in (('train', 7), ('val', 2), ('messy', 6)):
        for i in range(count):
            rng = np.random.default_rng([count, i])
            label = np.zeros((SIZE, SIZE), np.uint8)
            label[4:16, 4:20] = 1
            if i % 3 == 0:
                label[20:23, 2 + i:6 + i] = 2
            label[:2] = 255
            shown = np.where(label == 255, 0, label)
            if split == 'messy' and i == 1:
                label[5, :3] = 7
            if split == 'messy' and i == 2:
                label = label[:-2]
            noise = rng.integers(0, 30, (SIZE, SIZE, 3))
            colour = np.array([[60, 60, 60], [200, 40, 40], [40, 200, 220]])[shown]
            _write(root / f'images/{split}/{i}.bmp', (colour + noise).clip(0, 255).astype(np.uint8))
            _write(root / f'labels/{split}/{i}.bmp', label)
    _write(root / 'images/messy/5.bmp', np.asarray(Image.open(root / 'images/messy/4.bmp')))
    _write(root / 'images/val/1.bmp', np.asarray(Image.open(root / 'images/train/3.bmp')))
    return root


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)  # BMP: uncompressed, the same bytes from every version of Pillow
    os.utime(path, (TIME, TIME))


def write_config(path: Path, source: str = 'train') -> Path:
    """Write the config of the training whose difficulty comes from ``source``; run it beside ``data`` and ``train.json``."""
    path.write_text(CONFIG.format(classes=CLASSES, size=SIZE, hook=HOOKS[source], val_interval=4 if source == 'val' else 100),
                    encoding='utf-8')
    return path
