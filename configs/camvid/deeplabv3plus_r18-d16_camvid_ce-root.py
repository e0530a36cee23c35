# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/camvid/stats.json
_base_ = './deeplabv3plus_r18-d16_camvid_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='data/camvid/stats.json', power=0.5)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
