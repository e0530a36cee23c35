# SegFormer-B0 on Cityscapes, 8 GPUs x 1 crops of 1024x1024, cross-entropy.
_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/adamw_160k.py',
]
model = dict(
    data_preprocessor=dict(size=(1024, 1024)),
    decode_head=dict(num_classes=19),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)))
# Weight decay and learning rate as SegFormer's authors set them.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_block=dict(decay_mult=0.), head=dict(lr_mult=10.))))
train_dataloader = dict(batch_size=1, num_workers=4)
