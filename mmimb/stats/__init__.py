"""What counts say: class counts, counts per image, and the numbers that follow from them."""
from .class_stats import ClassStats
from .evaluated import EvaluatedCounts
from .image_scores import image_scores
from .known import known_names, refuse_published
from .per_image import PerImageCounts
from .stats_module import StatsModule

__all__ = ['ClassStats', 'EvaluatedCounts', 'PerImageCounts', 'StatsModule', 'image_scores', 'known_names', 'refuse_published']
