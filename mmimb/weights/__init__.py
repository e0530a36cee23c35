"""Class weights: from counts, or by what the model finds hard."""
from .base import ClassWeight, FixedWeight, build_class_weight, read_class_weight
from .deferred import Deferred
from .difficulty import DifficultyBalanced
from .queries import image_counts, no_object_weight, weights_of_queries
from .schemes import EffectiveNumber, FrequencyWeight, InverseFrequency, LogFrequency, MedianFrequency

__all__ = [
    'ClassWeight', 'Deferred', 'DifficultyBalanced', 'EffectiveNumber', 'FixedWeight', 'FrequencyWeight',
    'InverseFrequency', 'LogFrequency', 'MedianFrequency', 'build_class_weight', 'image_counts', 'no_object_weight',
    'read_class_weight', 'weights_of_queries'
]
