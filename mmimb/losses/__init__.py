"""Registered losses; each is a loss_decode line of an mmseg config."""
from .base import SegLoss
from .outlying_mse import OutlyingMSELoss
from .pixel import PixelLoss
from .query import QueryCrossEntropyLoss
from .region import DiceLoss, LovaszLoss, RegionLoss, TverskyLoss
from .sigmoid import BinaryCrossEntropyLoss, DistributionBalancedLoss, FocalLoss
from .softmax import (
    ComplementCrossEntropyLoss,
    CrossEntropyLoss,
    ELMLoss,
    LDAMLoss,
    LogitAdjustmentLoss,
    OhemCrossEntropyLoss,
    VSLoss,
)

__all__ = [
    'BinaryCrossEntropyLoss', 'ComplementCrossEntropyLoss', 'CrossEntropyLoss', 'DiceLoss', 'DistributionBalancedLoss',
    'ELMLoss', 'FocalLoss', 'LDAMLoss', 'LogitAdjustmentLoss', 'LovaszLoss', 'OhemCrossEntropyLoss', 'OutlyingMSELoss',
    'PixelLoss', 'QueryCrossEntropyLoss', 'RegionLoss', 'SegLoss', 'TverskyLoss', 'VSLoss'
]
