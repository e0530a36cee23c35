from .camvid import CamVidDataset
from .demo import DemoDataset
from .difficulty_sampler import DifficultySampler
from .rare_class_crop import RareClassCrop
from .samplers import RareClassSampler, RepeatFactorSampler

__all__ = ['CamVidDataset', 'DemoDataset', 'DifficultySampler', 'RareClassCrop', 'RareClassSampler',
           'RepeatFactorSampler']
