from .base import PixelLoss
from .outlying_mse import OutlyingMSELoss
from .softmax import CrossEntropyLoss

__all__ = ['CrossEntropyLoss', 'OutlyingMSELoss', 'PixelLoss']
