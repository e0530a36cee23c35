# Mask2Former on Cityscapes, 8 GPUs x 2 crops of 512x1024, with mmdet's cross-entropy of queries.
_base_ = ['../_base_/models/mask2former_r50.py', '../_base_/datasets/cityscapes.py', '../_base_/schedules/adamw_mask2former_160k.py']
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    decode_head=dict(num_classes=19, loss_cls=dict(class_weight=[1.0] * 19 + [0.1])))
train_dataloader = dict(batch_size=2, num_workers=2)
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=90000, by_epoch=False)]
train_cfg = dict(max_iters=90000, val_interval=5000)
default_hooks = dict(checkpoint=dict(interval=5000))
