# OCRNet on HRNetV2p-W18 on Cityscapes, 4 GPUs x 2 crops of 512x1024, cross-entropy.
_base_ = ['../_base_/models/ocrnet_hr18.py', '../_base_/datasets/cityscapes.py', '../_base_/schedules/sgd_80k.py']
model = dict(
    data_preprocessor=dict(size=(512, 1024)))
