"""The last layer of a head with ``classifier='cosine'``."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..functional import cosine_scores


class CosineClassifier(nn.Conv2d):
    """Scaled cosines between pixel features and one direction per class; a 1x1 convolution without a bias to checkpoints.

    A checkpoint with decision offsets (``mmimb tune``) holds ``(C,)`` numbers that are added to the cosines, before
    the scale. They are no parameter; the bias of a linear classifier in a checkpoint is left out.

    Args:
        channels: Length of a feature vector.
        num_classes: Number of output channels.
        scale: Factor of the cosines; 1 where the loss has a ``scale`` of its own.
    """

    def __init__(self, channels: int, num_classes: int, scale: float) -> None:
        super().__init__(channels, num_classes, kernel_size=1, bias=False)
        self.scale = scale
        self.offsets: Tensor | None
        self.register_buffer('offsets', None)

    def init_weights(self) -> None:
        """Give all classes the length 1 after the head's own initialisation: the length decides how fast a class turns."""
        with torch.no_grad():
            self.weight.copy_(nn.functional.normalize(self.weight, dim=1))

    def forward(self, feat: Tensor) -> Tensor:
        """Return ``(N, C, H, W)`` scores of ``(N, D, H, W)`` features, in float32 at least, under autocast too."""
        with torch.autocast(feat.device.type, enabled=False):
            dtype = torch.promote_types(torch.promote_types(feat.dtype, self.weight.dtype), torch.float32)
            cosines = cosine_scores(feat.to(dtype), self.weight.to(dtype))
            return self.scale * (cosines if self.offsets is None else cosines + self.offsets.to(dtype).view(-1, 1, 1))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        offsets = state_dict.get(f'{prefix}offsets')
        self.offsets = None if offsets is None else torch.empty_like(offsets, device=self.weight.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, scale={self.scale:g}'
