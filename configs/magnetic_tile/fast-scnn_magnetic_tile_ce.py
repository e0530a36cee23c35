# Fast-SCNN on Magnetic tile defects from scratch, cross-entropy.
_base_ = ['../_base_/models/fast_scnn.py', '../_base_/datasets/magnetic_tile.py', '../_base_/schedules/adamw_800.py']
model = dict(
    data_preprocessor=dict(size=(192, 192)),
    decode_head=dict(num_classes=6),
    auxiliary_head=dict(num_classes=6))
