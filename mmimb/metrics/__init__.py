"""The metric that shows what happens to rare classes."""
from .long_tail_iou import LongTailIoUMetric

__all__ = ['LongTailIoUMetric']
