# Fast-SCNN on CamVid at half size from scratch, cross-entropy: the baseline of benchmarks/study/from_scratch.sh.
_base_ = ['../_base_/models/fast_scnn.py', '../_base_/datasets/camvid_half.py', '../_base_/schedules/adamw_800.py']
model = dict(
    data_preprocessor=dict(size=(192, 256)),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11))
