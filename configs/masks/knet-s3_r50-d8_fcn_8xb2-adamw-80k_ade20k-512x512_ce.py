# K-Net over FCN on ADE20K, 8 GPUs x 2 crops of 512x512, cross-entropy.
_base_ = ['../_base_/models/knet-s3_r50-d8_fcn.py', '../_base_/datasets/ade20k.py', '../_base_/schedules/adamw_knet_80k.py']
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(kernel_generate_head=dict(num_classes=150)),
    auxiliary_head=dict(num_classes=150))
train_dataloader = dict(batch_size=2, num_workers=2)
