# The same, classes of queries weighted by the root of the inverse number of images that hold them.
_base_ = './mask2former_r50_8xb2-160k_ade20k-512x512_ce.py'
model = dict(decode_head=dict(loss_cls=dict(
    _delete_=True, type='mmimb.QueryCrossEntropyLoss', stats='mmimb::ade20k', loss_weight=2.0)))
