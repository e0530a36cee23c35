# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/VOCdevkit/VOC2010/stats.json
_base_ = './fcn_hr18_4xb4-80k_pascal-context-59-480x480_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='data/VOCdevkit/VOC2010/stats.json', power=0.5)
model = dict(decode_head=dict(loss_decode=dict(class_weight=weight)))
