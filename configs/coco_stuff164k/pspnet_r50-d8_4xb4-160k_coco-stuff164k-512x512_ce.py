# PSPNet on COCO-Stuff 164k, 4 GPUs x 4 crops of 512x512, cross-entropy.
_base_ = ['../_base_/models/pspnet_r50-d8.py', '../_base_/datasets/coco_stuff164k.py', '../_base_/schedules/sgd_160k.py']
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=171),
    auxiliary_head=dict(num_classes=171))
