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
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in (0.75, 1.0, 1.25, 1.5)],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ]),
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

# Head, medium and tail of the classes that 15 training images or more hold (the tail of benchmarks/study); the others are
# decided by one or two test images. First: python tools/scan_dataset.py CONFIG --out <this file>
val_evaluator = dict(
    type='mmimb.LongTailIoUMetric',
    stats='data/ccp/stats.json',
    groups=dict(
        head=['null', 'skin', 'dress', 'coat', 'pants', 'hair', 'jeans', 'bag', 'skirt', 'shoes', 'blouse', 'shirt',
            'suit'],
        medium=['blazer', 'sweater', 't-shirt', 'jacket', 'purse', 'cape', 'vest', 'romper', 'stockings', 'scarf',
            'top', 'shorts'],
        tail=['leggings', 'sweatshirt', 'boots', 'hat', 'accessories', 'belt', 'sunglasses', 'sandals', 'socks',
            'bracelet', 'necklace', 'watch'],
    ))
test_evaluator = val_evaluator
