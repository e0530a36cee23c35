# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/ccp/stats.json
_base_ = './fast-scnn_ccp_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='data/ccp/stats.json', power=0.5)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
