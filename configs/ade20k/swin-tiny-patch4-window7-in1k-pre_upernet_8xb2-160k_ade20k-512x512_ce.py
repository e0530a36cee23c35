# UPerNet on Swin-T on ADE20K, 8 GPUs x 2 crops of 512x512, cross-entropy.
_base_ = ['../_base_/models/upernet_swin-t.py', '../_base_/datasets/ade20k.py', '../_base_/schedules/adamw_160k.py']
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150))
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(absolute_pos_embed=dict(decay_mult=0.), relative_position_bias_table=dict(decay_mult=0.))))
train_dataloader = dict(batch_size=2)
