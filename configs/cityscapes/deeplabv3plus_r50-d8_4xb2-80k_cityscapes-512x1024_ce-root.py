# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/cityscapes/stats.json
_base_ = './deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='data/cityscapes/stats.json', power=0.5)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
