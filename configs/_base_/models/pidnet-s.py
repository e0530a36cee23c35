# PIDNet-S (arXiv 2206.02066), ImageNet weights. Its losses: a branch of its own, the output, the border of objects, and the
# output once more where the border is. The weights of the classes are those that MMSegmentation takes for Cityscapes.
norm_cfg = dict(type='SyncBN', requires_grad=True)
class_weight = [
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116, 0.9037, 1.0865,
    1.0955, 1.0865, 1.1529, 1.0507
]
hard_pixels = dict(type='mmimb.OhemCrossEntropyLoss', thresh=0.9, min_kept=131072, class_weight=class_weight)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='PIDNet',
        in_channels=3,
        channels=32,
        ppm_channels=96,
        num_stem_blocks=2,
        num_branch_blocks=3,
        align_corners=False,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU', inplace=True),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/pidnet/'
            'pidnet-s_imagenet1k_20230306-715e6273.pth')),
    decode_head=dict(
        type='PIDHead',
        in_channels=128,
        channels=128,
        num_classes=19,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU', inplace=True),
        align_corners=True,
        loss_decode=[
            dict(type='mmimb.CrossEntropyLoss', class_weight=class_weight, loss_weight=0.4),
            hard_pixels,
            dict(type='BoundaryLoss', loss_weight=20.0),
            hard_pixels,
        ]),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
