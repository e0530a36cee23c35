from .camvid import CamVidDataset
from .demo import DemoDataset
from .difficulty_sampler import DifficultySampler
from .samplers import RareClassSampler, RepeatFactorSampler

__all__ = ['CamVidDataset', 'DemoDataset', 'DifficultySampler', 'RareClassSampler', 'RepeatFactorSampler']
