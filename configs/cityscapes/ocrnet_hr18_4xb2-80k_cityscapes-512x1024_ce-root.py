# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
_base_ = './ocrnet_hr18_4xb2-80k_cityscapes-512x1024_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='mmimb::cityscapes', power=0.5)
model = dict(
    decode_head=[{
        **head, 'loss_decode': {**head.loss_decode, 'class_weight': weight}
    } for head in _base_.model.decode_head])
