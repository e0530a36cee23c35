# PSPNet on ADE20K, 4 GPUs x 4 crops of 512x512, cross-entropy.
_base_ = ['../_base_/models/pspnet_r50-d8.py', '../_base_/datasets/ade20k.py', '../_base_/schedules/sgd_160k.py']
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150))
