# Cross-entropy weighted by class difficulty (arXiv 2010.01824), measured on dev.txt, which is held out from training: report
# the test split. Every 100 iterations, as the schedule is short.
_base_ = './fast-scnn_camvid_ce.py'
weight = dict(type='mmimb.DifficultyBalanced', num_classes=11)
model = dict(
    decode_head=dict(loss_decode=dict(class_weight=weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=weight)))
holdout = dict(dataset=_base_.val_dataloader.dataset)
custom_hooks = [dict(type='mmimb.ClassWeightHook', source='holdout', interval=100, dataloader=holdout)]  # tools/train.py adds its other hooks
