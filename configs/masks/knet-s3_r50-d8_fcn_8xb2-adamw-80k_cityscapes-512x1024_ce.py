# K-Net over FCN on Cityscapes, 8 GPUs x 2 crops of 512x1024, cross-entropy.
_base_ = ['../_base_/models/knet-s3_r50-d8_fcn.py', '../_base_/datasets/cityscapes.py', '../_base_/schedules/adamw_knet_80k.py']
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    decode_head=dict(kernel_generate_head=dict(num_classes=19)),
    auxiliary_head=dict(num_classes=19))
train_dataloader = dict(batch_size=2, num_workers=2)
