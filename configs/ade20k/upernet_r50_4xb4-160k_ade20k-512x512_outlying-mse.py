# The same with squared error against outlying labels (arXiv 2107.02393), in both heads.
_base_ = './upernet_r50_4xb4-160k_ade20k-512x512_ce.py'
stats = 'mmimb::ade20k'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='mmimb.OutlyingMSELoss', stats=stats)),
    auxiliary_head=dict(loss_decode=dict(_delete_=True, type='mmimb.OutlyingMSELoss', stats=stats, loss_weight=0.4)))
