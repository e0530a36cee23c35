# Squared error against outlying labels, weighted by class difficulty as in fast-scnn_camvid_ce-difficulty-holdout.py.
# First: python tools/scan_dataset.py THIS_FILE --out data/camvid/stats.json
_base_ = './fast-scnn_camvid_outlying-mse.py'
weight = dict(type='mmimb.DifficultyBalanced', num_classes=11)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
holdout = dict(dataset=_base_.val_dataloader.dataset)
custom_hooks = [dict(type='mmimb.ClassWeightHook', source='holdout', interval=100, dataloader=holdout)]  # tools/train.py adds its other hooks
