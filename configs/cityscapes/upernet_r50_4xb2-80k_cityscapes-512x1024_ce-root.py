# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
_base_ = './upernet_r50_4xb2-80k_cityscapes-512x1024_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='mmimb::cityscapes', power=0.5)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
