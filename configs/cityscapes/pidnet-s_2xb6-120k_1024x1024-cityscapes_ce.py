# PIDNet-S on Cityscapes, 2 GPUs x 6 crops of 1024x1024, cross-entropy as in MMSegmentation's own config.
_base_ = ['../_base_/models/pidnet-s.py', '../_base_/datasets/cityscapes_1024x1024.py', '../_base_/schedules/sgd_120k.py']
model = dict(
    data_preprocessor=dict(size=(1024, 1024)))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(1024, 1024), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='GenerateEdge', edge_width=4),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
