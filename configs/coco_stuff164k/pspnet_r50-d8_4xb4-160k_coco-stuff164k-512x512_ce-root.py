# The same, weighted by the root of the inverse frequency; then tools/tune_offsets.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/coco_stuff164k/stats.json
_base_ = './pspnet_r50-d8_4xb4-160k_coco-stuff164k-512x512_ce.py'
weight = dict(type='mmimb.InverseFrequency', stats='data/coco_stuff164k/stats.json', power=0.5)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
