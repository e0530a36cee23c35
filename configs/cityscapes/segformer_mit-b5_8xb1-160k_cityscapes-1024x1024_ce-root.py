# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
_base_ = './segformer_mit-b5_8xb1-160k_cityscapes-1024x1024_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='mmimb::cityscapes', power=0.5)
model = dict(decode_head=dict(loss_decode=dict(class_weight=weight)))
