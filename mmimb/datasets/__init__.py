"""Registered datasets."""
from .camvid import CamVidDataset
from .ccp import CCPDataset
from .demo import DemoDataset
from .magnetic_tile import MagneticTileDataset

__all__ = ['CCPDataset', 'CamVidDataset', 'DemoDataset', 'MagneticTileDataset']
