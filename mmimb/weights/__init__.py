from .base import ClassWeight, FixedWeight, build_class_weight
from .deferred import Deferred
from .schemes import EffectiveNumber, FrequencyWeight, InverseFrequency, LogFrequency, MedianFrequency

__all__ = [
    'ClassWeight', 'Deferred', 'EffectiveNumber', 'FixedWeight', 'FrequencyWeight', 'InverseFrequency', 'LogFrequency',
    'MedianFrequency', 'build_class_weight'
]
