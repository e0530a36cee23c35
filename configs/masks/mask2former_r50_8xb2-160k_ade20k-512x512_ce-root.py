# The same, classes of queries weighted by the root of the inverse number of images that hold them.
# First: python tools/scan_dataset.py THIS_FILE --out data/ade/ADEChallengeData2016/stats.json
_base_ = './mask2former_r50_8xb2-160k_ade20k-512x512_ce.py'
model = dict(decode_head=dict(loss_cls=dict(
    _delete_=True, type='mmimb.QueryCrossEntropyLoss', stats='data/ade/ADEChallengeData2016/stats.json', loss_weight=2.0)))
