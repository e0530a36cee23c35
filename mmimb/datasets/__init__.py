"""Registered datasets."""
from .camvid import CamVidDataset
from .demo import DemoDataset

__all__ = ['CamVidDataset', 'DemoDataset']
