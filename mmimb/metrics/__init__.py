"""The metric that shows what happens to rare classes."""
from .boundary_iou import BoundaryIoUMetric
from .long_tail_iou import LongTailIoUMetric
from .multi_label_iou import MultiLabelIoUMetric
from .precision_recall import PrecisionRecallMetric

__all__ = ['BoundaryIoUMetric', 'LongTailIoUMetric', 'MultiLabelIoUMetric', 'PrecisionRecallMetric']
