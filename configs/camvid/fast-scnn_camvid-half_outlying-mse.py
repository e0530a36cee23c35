# The same with squared error against outlying labels (arXiv 2107.02393), in both heads.
# First: python tools/scan_dataset.py THIS_FILE --out data/camvid/stats.json
_base_ = './fast-scnn_camvid-half_ce.py'
stats = 'data/camvid/stats.json'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='mmimb.OutlyingMSELoss', stats=stats)),
    auxiliary_head=dict(loss_decode=dict(_delete_=True, type='mmimb.OutlyingMSELoss', stats=stats, loss_weight=0.4)))
