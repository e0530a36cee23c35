"""Evaluation that shows what happens to the rare classes."""
from .long_tail_iou import LongTailIoUMetric

__all__ = ['LongTailIoUMetric']
