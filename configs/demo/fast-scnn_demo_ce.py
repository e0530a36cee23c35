# Fast-SCNN on the generated demo dataset, cross-entropy.
_base_ = ['../_base_/models/fast_scnn.py', '../_base_/datasets/demo.py', '../_base_/schedules/adamw_1200.py']
model = dict(
    data_preprocessor=dict(size=(128, 160)),
    decode_head=dict(num_classes=8),
    auxiliary_head=dict(num_classes=8))
