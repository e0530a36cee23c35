from .camvid import CamVidDataset
from .ccp import CCPDataset
from .demo import DemoDataset
from .difficulty_sampler import DifficultySampler
from .magnetic_tile import MagneticTileDataset
from .rare_class_crop import RareClassCrop
from .samplers import RareClassSampler, RepeatFactorSampler

__all__ = ['CCPDataset', 'CamVidDataset', 'DemoDataset', 'DifficultySampler', 'MagneticTileDataset', 'RareClassCrop',
           'RareClassSampler', 'RepeatFactorSampler']
