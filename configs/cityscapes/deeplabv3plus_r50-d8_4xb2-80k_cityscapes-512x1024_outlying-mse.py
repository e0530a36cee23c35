# The same with squared error against outlying labels (arXiv 2107.02393), in both heads.
_base_ = './deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024_ce.py'
stats = 'mmimb::cityscapes'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='mmimb.OutlyingMSELoss', stats=stats)),
    auxiliary_head=dict(loss_decode=dict(_delete_=True, type='mmimb.OutlyingMSELoss', stats=stats, loss_weight=0.4)))
