# Fast-SCNN on Clothing Co-Parsing from scratch, cross-entropy.
_base_ = ['../_base_/models/fast_scnn.py', '../_base_/datasets/ccp.py', '../_base_/schedules/adamw_800.py']
model = dict(
    data_preprocessor=dict(size=(256, 192)),
    decode_head=dict(num_classes=59),
    auxiliary_head=dict(num_classes=59))
