# The schedule of K-Net in MMSegmentation: AdamW, warm-up, two steps.
_base_ = './sgd_80k.py'
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=5e-4),
    clip_grad=dict(max_norm=1, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=1000, by_epoch=False),
    dict(type='MultiStepLR', begin=1000, end=80000, milestones=[60000, 72000], by_epoch=False),
]
