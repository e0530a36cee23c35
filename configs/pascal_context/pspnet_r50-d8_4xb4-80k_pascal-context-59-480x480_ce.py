# PSPNet on Pascal Context (59 classes), 4 GPUs x 4 crops of 480x480, cross-entropy.
_base_ = ['../_base_/models/pspnet_r50-d8.py', '../_base_/datasets/pascal_context_59.py', '../_base_/schedules/sgd_80k.py']
model = dict(
    data_preprocessor=dict(size=(480, 480)),
    decode_head=dict(num_classes=59),
    auxiliary_head=dict(num_classes=59),
    test_cfg=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)))
optim_wrapper = dict(optimizer=dict(lr=0.004, weight_decay=0.0001))
