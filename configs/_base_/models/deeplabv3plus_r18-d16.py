# A small DeepLabV3+: ResNet-18-V1c, output stride 16, a quarter of the decoder's channels, from scratch, plain BN.
# The child changes sizes only, so that it stays the same architecture as its base.
_base_ = './deeplabv3plus_r50-d8.py'
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        depth=18,
        dilations=(1, 1, 1, 2),
        strides=(1, 2, 2, 1),
        norm_cfg=norm_cfg,
        init_cfg=None),  # dict(type='Pretrained', checkpoint='open-mmlab://resnet18_v1c') where downloads are possible
    decode_head=dict(
        in_channels=512, channels=128, dilations=(1, 6, 12, 18), c1_in_channels=64, c1_channels=24, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=256, channels=64, norm_cfg=norm_cfg))
