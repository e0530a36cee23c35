_base_ = './adamw_1200.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=20, by_epoch=False),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=20, end=800, by_epoch=False),
]
train_cfg = dict(max_iters=800)
