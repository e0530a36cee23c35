# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
_base_ = './segformer_mit-b5_8xb2-160k_ade20k-512x512_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='mmimb::ade20k', power=0.5)
model = dict(decode_head=dict(loss_decode=dict(class_weight=weight)))
