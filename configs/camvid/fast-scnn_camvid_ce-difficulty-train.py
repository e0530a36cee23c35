# Cross-entropy weighted by class difficulty, measured on the training batches: no images to hold out, next to no cost.
_base_ = './fast-scnn_camvid_ce.py'
weight = dict(type='mmimb.DifficultyBalanced', num_classes=11)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
custom_hooks = [dict(type='mmimb.ClassWeightHook', source='train', interval=10)]  # tools/train.py adds its other hooks
