"""What training sees more often: samplers, and a crop around rare classes."""
from .difficulty_sampler import DifficultySampler
from .rare_class_crop import RareClassCrop
from .samplers import RareClassSampler, RepeatFactorSampler

__all__ = ['DifficultySampler', 'RareClassCrop', 'RareClassSampler', 'RepeatFactorSampler']
