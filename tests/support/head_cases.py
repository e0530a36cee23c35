"""The decode heads that the tests train: small, over four random feature maps of an image of 32x32 pixels."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

CLASSES = 4
NORM = dict(type='BN')
ONE = dict(in_channels=8, in_index=0, channels=8)
ALL = dict(in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=8)
HEADS: dict[str, dict[str, Any]] = {
    'FCN': dict(type='FCNHead', num_convs=1, concat_input=False, **ONE),
    'PSP': dict(type='PSPHead', pool_scales=(1, 2), **ONE),
    'DeepLabV3+': dict(type='DepthwiseSeparableASPPHead', dilations=(1, 2), c1_in_channels=8, c1_channels=4,
                       **{**ONE, 'in_index': 1}),
    'UPer': dict(type='UPerHead', pool_scales=(1, 2), **ALL),
    'SegFormer': dict(type='SegformerHead', **ALL),
    'OCR': dict(type='OCRHead', ocr_channels=4, **ONE),  # second in a cascade
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For a test file that imports it: threads cost more than they give on tensors of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def head_cfg(name: str, loss: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the config of a head: four classes, no dropout."""
    cfg = {**HEADS[name], 'num_classes': CLASSES, 'norm_cfg': NORM, 'dropout_ratio': 0, **changes}
    return cfg if loss is None else {**cfg, 'loss_decode': loss}


def wrapped(cfg: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the config of a LossHead over the head of ``cfg``, as a child config merges it."""
    return {**cfg, 'type': 'mmimb.LossHead', 'base': cfg['type'], **changes}


def build(cfg: dict[str, Any], seed: int = 0) -> Any:
    """Build a module in mmseg's scope with the same random weights for the same seed."""
    init_default_scope('mmseg')
    torch.manual_seed(seed)
    return MODELS.build(cfg)


def batch(seed: int = 0, classes: int = CLASSES, side: int = 16) -> tuple[list[torch.Tensor], list[SegDataSample]]:
    """Return feature maps of 2 images that tell the label, and samples with labels of 2 * side pixels, some of them 255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(classes, (2, side // 4, side // 4), generator=generator)
    label = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
    label[:, :3] = 255
    signal = torch.nn.functional.one_hot(coarse, 8).movedim(-1, 1).float()
    feats = []
    for level in range(4):
        size = (side >> level, side >> level)
        noise = torch.randn((2, 8, *size), generator=generator)
        feats.append(torch.nn.functional.interpolate(signal, size) * 2 + 0.3 * noise)
    return feats, [SegDataSample(gt_sem_seg=PixelData(data=x[None])) for x in label]


def inputs(name: str, feats: list[torch.Tensor]) -> tuple[Any, ...]:
    """Return what the forward of a head takes: a cascaded one the logits of the head before too."""
    return (feats, feats[0][:, :CLASSES]) if name == 'OCR' else (feats, )
