"""Registered decode heads, and the model for test-time augmentation."""
from .class_maps import ClassMaps
from .classifier import CosineClassifier
from .introspect import (
    activation,
    classifies_queries,
    head_losses,
    last_head,
    loss_scale,
    prediction_loss,
    unwrapped,
    uses_cls_seg,
)
from .loss_head import LossHead
from .tta import TTAModel

__all__ = [
    'ClassMaps', 'CosineClassifier', 'LossHead', 'TTAModel', 'activation', 'classifies_queries', 'head_losses', 'last_head',
    'loss_scale', 'prediction_loss', 'unwrapped', 'uses_cls_seg'
]
