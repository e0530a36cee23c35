# A stronger decoder on CamVid from scratch, cross-entropy.
_base_ = ['../_base_/models/deeplabv3plus_r18-d16.py', '../_base_/datasets/camvid.py', '../_base_/schedules/adamw_800.py']
model = dict(
    data_preprocessor=dict(size=(240, 320)),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11))
