from .class_stats import ClassStats
from .module import StatsModule

__all__ = ['ClassStats', 'StatsModule']
