# Clothing Co-Parsing, 59 classes, 275 x 400 to 436: crops at stored size.
# Fit on train.txt, choose on val.txt, report once on test.txt.
dataset_type = 'mmimb.CCPDataset'
data_root = 'data/ccp'
crop_size = (256, 192)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train.txt',
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='test.txt',
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        pipeline=test_pipeline))

# The tail of benchmarks/study: classes of fewer images are decided by one or two of them; first:
# python tools/scan_dataset.py CONFIG --out <this file>
val_evaluator = dict(
    type='mmimb.LongTailIoUMetric',
    stats='data/ccp/stats.json',
    groups=dict(tail=['watch', 'necklace', 'bracelet', 'socks', 'sandals', 'sunglasses', 'belt', 'accessories', 'hat', 'boots', 'sweatshirt', 'leggings']))
test_evaluator = val_evaluator
