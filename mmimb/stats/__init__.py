"""What counts say: class counts, counts per image, and the numbers that follow from them."""
from .class_stats import ClassStats
from .known import known_names, refuse_published
from .per_image import PerImageCounts
from .stats_module import StatsModule

__all__ = ['ClassStats', 'PerImageCounts', 'StatsModule', 'known_names', 'refuse_published']
