# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/ade/ADEChallengeData2016/stats.json
_base_ = './upernet_r50_4xb4-160k_ade20k-512x512_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='data/ade/ADEChallengeData2016/stats.json', power=0.5)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
