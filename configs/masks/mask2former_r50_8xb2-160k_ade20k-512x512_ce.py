# Mask2Former on ADE20K, 8 GPUs x 2 crops of 512x512, with mmdet's cross-entropy of queries.
_base_ = ['../_base_/models/mask2former_r50.py', '../_base_/datasets/ade20k.py', '../_base_/schedules/adamw_mask2former_160k.py']
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150, loss_cls=dict(class_weight=[1.0] * 150 + [0.1])))
train_dataloader = dict(batch_size=2, num_workers=2)
