"""The official config of every decode head of MMSegmentation, shrunk to train for an iteration on a CPU.

Heads, necks and losses are those of the config; heavy backbones give way to one that pools the image.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

import mmseg
import torch
from mmengine import Config, ConfigDict
from mmengine.model import BaseModule
from mmseg.registry import MODELS

from .tiny_run import CLASSES

MMSEG = Path(mmseg.__file__).parent / '.mim/configs'
ZOO = ('ade20k', 'cityscapes', 'coco_stuff164k', 'pascal_context')  # folders of configs/ with MMSegmentation's own settings
R50, R50_ADE = 'r50-d8_4xb2-40k_cityscapes-512x1024.py', 'r50-d8_4xb4-80k_ade20k-512x512.py'
SIDE = 64
DEPTHS = {18: (64, 128, 256, 512), 34: (64, 128, 256, 512), 50: (256, 512, 1024, 2048)}


@dataclass(frozen=True)
class Family:
    """A head with one of its official configs.

    Args:
        head: The decode head that it is here for, by its class.
        config: Path below the configs of mmseg.
        changes: Settings of the model that make it small.
        task: Empty for pixel classification.
    """

    head: str
    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    task: str = ''

    def __str__(self) -> str:
        return self.head if self.head not in TWICE else self.config.split('/')[0]


TWICE = {'FCNHead', 'SETRUPHead', 'ASPPHead'}
SMALL_VIT = {'backbone.num_layers': 4, 'backbone.out_indices': (0, 1, 2, 3), 'backbone.embed_dims': 96, 'backbone.num_heads': 2,
             'backbone.img_size': (SIDE, SIDE)}
QUERIES = {'decode_head.num_queries': 9, 'decode_head.transformer_decoder.num_layers': 2}
FAMILIES = (
    Family('FCNHead', f'fcn/fcn_{R50}'),
    Family('PSPHead', f'pspnet/pspnet_{R50}'),
    Family('ASPPHead', f'deeplabv3/deeplabv3_{R50}'),
    Family('DepthwiseSeparableASPPHead', f'deeplabv3plus/deeplabv3plus_{R50}'),
    Family('UPerHead', 'upernet/upernet_r50_4xb2-40k_cityscapes-512x1024.py'),
    Family('NLHead', f'nonlocal_net/nonlocal_{R50}'),
    Family('GCHead', f'gcnet/gcnet_{R50}'),
    Family('DNLHead', f'dnlnet/dnl_{R50}'),
    Family('ANNHead', f'ann/ann_{R50}'),
    Family('DAHead', f'danet/danet_{R50}'),
    Family('APCHead', f'apcnet/apcnet_{R50}'),
    Family('DMHead', f'dmnet/dmnet_{R50}'),
    Family('EMAHead', 'emanet/emanet_r50-d8_4xb2-80k_cityscapes-512x1024.py'),
    Family('ISAHead', f'isanet/isanet_{R50}'),
    Family('EncHead', f'encnet/encnet_{R50}'),
    Family('PSAHead', f'psanet/psanet_{R50}', {'decode_head.mask_size': (8, 8)}),
    Family('CCHead', f'ccnet/ccnet_{R50}'),
    Family('OCRHead', 'ocrnet/ocrnet_hr18_4xb2-40k_cityscapes-512x1024.py'),
    Family('PointHead', 'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py',
           {'train_cfg.num_points': 32, 'test_cfg.subdivision_num_points': 64}),
    Family('FPNHead', f'sem_fpn/fpn_{R50_ADE.replace("r50-d8_4xb4-80k_ade20k-512x512", "r50_4xb2-80k_cityscapes-512x1024")}'),
    Family('DepthwiseSeparableFCNHead', 'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'),
    Family('LRASPPHead', 'mobilenet_v3/mobilenet-v3-d8-scratch_lraspp_4xb4-320k_cityscapes-512x1024.py'),
    Family('STDCHead', 'stdc/stdc1_4xb12-80k_cityscapes-512x1024.py'),
    Family('PIDHead', 'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py'),
    Family('DDRHead', 'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py'),
    Family('SegformerHead', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
    Family('LightHamHead', 'segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py'),
    Family('SETRUPHead', 'setr/setr_vit-l_pup_8xb2-160k_ade20k-512x512.py'),
    Family('SETRMLAHead', 'setr/setr_vit-l-mla_8xb1-160k_ade20k-512x512.py'),
    Family('DPTHead', 'dpt/dpt_vit-b16_8xb2-160k_ade20k-512x512.py',
           {**SMALL_VIT, 'decode_head.in_channels': (96, ) * 4, 'decode_head.embed_dims': 96}),
    Family('SegmenterMaskTransformerHead', 'segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py'),
    Family('IterativeDecodeHead', 'knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py'),
    Family('MaskFormerHead', 'maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py', QUERIES),
    Family('Mask2FormerHead', 'mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py', {
        **QUERIES, 'decode_head.pixel_decoder.encoder.num_layers': 1, 'decode_head.train_cfg.num_points': 64}),
    Family('SideAdapterCLIPHead', 'san/san-vit-b16_voc12aug-640x640.py', {
        'data_preprocessor.size_divisor': SIDE, 'text_encoder.num_layers': 1, 'text_encoder.dataset_name': None,
        'text_encoder.vocabulary': list(CLASSES), 'text_encoder.templates': ['a {}'], 'decode_head.train_cfg.num_points': 64,
        'image_encoder.img_size': (SIDE, SIDE)}),
    Family('VPDDepthHead', 'vpd/vpd_sd_4xb8-25k_nyu-480x480.py', task='depth'),
    Family('FCNHead', 'bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py'),
    Family('FCNHead', 'unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_drive-64x64.py'),
    Family('FCNHead', 'icnet/icnet_r18-d8_4xb2-80k_cityscapes-832x832.py'),
)


@MODELS.register_module()
class PoolingBackbone(BaseModule):
    """Features of the given widths and strides: the image pooled and projected."""

    def __init__(self, channels: list[int], strides: list[int]) -> None:
        super().__init__()
        self.strides = strides
        self.layers = torch.nn.ModuleList(torch.nn.Conv2d(3, width, 1) for width in channels)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(layer(torch.nn.functional.avg_pool2d(image, stride))
                     for layer, stride in zip(self.layers, self.strides, strict=True))


def shrunk(family: Family) -> ConfigDict:
    """Return the model of a family for images of 64 x 64 pixels and the three classes of the tiny run."""
    model = Config.fromfile(MMSEG / family.config).model
    model.pretrained = None
    if family.task:
        return model
    for key, value in family.changes.items():
        *path, last = key.split('.')
        node = model
        for part in path:
            node = node[part]
        node[last] = value
    if 'backbone' in model:
        model.backbone = _backbone(model.backbone)
    model.data_preprocessor.update({'size': None, 'size_divisor': SIDE, 'test_cfg': None})
    model.test_cfg = {**model.test_cfg, 'mode': 'whole'}
    _to_classes(model, ())
    return model


def _backbone(cfg: ConfigDict) -> Mapping[str, Any]:
    if cfg.type.startswith('Res') and 'depth' in cfg:
        strides = [4 * step for step in accumulate(cfg.get('strides', (1, 2, 2, 2)), mul)]
        taken = cfg.get('out_indices', (0, 1, 2, 3))
        return {'type': 'PoolingBackbone', 'channels': [DEPTHS[cfg.depth][i] for i in taken],
                'strides': [strides[i] for i in taken]}
    if cfg.type == 'UNet':
        return {'type': 'PoolingBackbone', 'channels': [1024, 512, 256, 128, 64], 'strides': [16, 8, 4, 2, 1]}
    if cfg.type == 'MobileNetV3':  # LRASPP pools 49 x 49 features
        return {'type': 'PoolingBackbone', 'channels': [16, 24, 960], 'strides': [1, 1, 1]}
    if cfg.type == 'HRNet':
        return {'type': 'PoolingBackbone', 'channels': list(cfg.extra.stage4.num_channels), 'strides': [4, 8, 16, 32]}
    if cfg.type == 'VisionTransformer' and not cfg.get('output_cls_token'):
        outputs = cfg.get('out_indices', -1)
        number = len(outputs) if isinstance(outputs, (list, tuple)) else 1
        return {'type': 'PoolingBackbone', 'channels': [cfg.embed_dims] * number, 'strides': [cfg.patch_size] * number}
    cfg.init_cfg = None
    return cfg


def _to_classes(node: Any, path: tuple[Any, ...]) -> None:
    """Give heads the classes of the tiny run; those with labels of their own keep theirs."""
    if isinstance(node, dict):
        for key, value in node.items():
            weights = key == 'class_weight' and isinstance(value, (list, tuple))
            if key == 'num_classes' and node.get('type') != 'STDCHead' and value is not None:
                node[key] = len(CLASSES)
            elif weights:
                queries = 'loss_cls' in path or node.get('loss_name') == 'loss_cls_ce'
                node[key] = [*value[:len(CLASSES)], *(value[-1:] if queries else [])]
            else:
                _to_classes(value, (*path, key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _to_classes(value, (*path, index))
