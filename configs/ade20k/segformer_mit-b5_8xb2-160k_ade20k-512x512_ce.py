# SegFormer-B5 on ADE20K, 8 GPUs x 2 crops of 512x512, cross-entropy.
_base_ = ['../_base_/models/segformer_mit-b5.py', '../_base_/datasets/ade20k.py', '../_base_/schedules/adamw_160k.py']
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150))
# Weight decay and learning rate as SegFormer's authors set them.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_block=dict(decay_mult=0.), head=dict(lr_mult=10.))))
train_dataloader = dict(batch_size=2, num_workers=2)
