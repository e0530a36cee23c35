"""The last layer of a head with ``classifier='cosine'``."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ..functional import cosine_scores


class CosineClassifier(nn.Conv2d):
    """Scaled cosines between pixel features and one direction per class; a 1x1 convolution without a bias to checkpoints.

    Args:
        channels: Length of a feature vector.
        num_classes: Number of output channels.
        scale: Factor of the cosines; 1 where the loss has a ``scale`` of its own.
    """

    def __init__(self, channels: int, num_classes: int, scale: float) -> None:
        super().__init__(channels, num_classes, kernel_size=1, bias=False)
        self.scale = scale

    def init_weights(self) -> None:
        """Give all classes the length 1 after the head's own initialisation: the length decides how fast a class turns."""
        with torch.no_grad():
            self.weight.copy_(nn.functional.normalize(self.weight, dim=1))

    def forward(self, feat: Tensor) -> Tensor:
        """Return ``(N, C, H, W)`` scores of ``(N, D, H, W)`` features, in float32 at least, under autocast too."""
        with torch.autocast(feat.device.type, enabled=False):
            dtype = torch.promote_types(torch.promote_types(feat.dtype, self.weight.dtype), torch.float32)
            return self.scale * cosine_scores(feat.to(dtype), self.weight.to(dtype))

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, scale={self.scale:g}'
