# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
_base_ = './pidnet-s_2xb6-120k_1024x1024-cityscapes_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='mmimb::cityscapes', power=0.5)
model = dict(
    decode_head=dict(
        loss_decode=[{**loss, 'class_weight': weight} if 'class_weight' in loss else loss
                     for loss in _base_.model.decode_head.loss_decode]))
