"""Class-imbalanced semantic segmentation for MMSegmentation: know it, train against it, prove it."""

__version__ = '0.1.0'
