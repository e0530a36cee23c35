"""The metric that shows what happens to rare classes."""
from .long_tail_iou import LongTailIoUMetric
from .multi_label_iou import MultiLabelIoUMetric

__all__ = ['LongTailIoUMetric', 'MultiLabelIoUMetric']
