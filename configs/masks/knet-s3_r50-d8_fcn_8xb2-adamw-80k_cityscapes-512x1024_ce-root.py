# The same, weighted by the root of the inverse frequency, in all iterations and the auxiliary head.
_base_ = './knet-s3_r50-d8_fcn_8xb2-adamw-80k_cityscapes-512x1024_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='mmimb::cityscapes', power=0.5)
model = dict(
    decode_head=dict(kernel_generate_head=dict(loss_decode=dict(class_weight=weight))),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
