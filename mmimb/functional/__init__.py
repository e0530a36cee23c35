"""Pure torch mathematics, unreduced; imports nothing but torch."""
from .confusion import Scores, confusion_matrix, scores
from .cross_entropy import adjusted_cross_entropy
from .layout import per_class
from .outlying import LABEL_FUNCTIONS, LABEL_ORDERS, outlying_labels, outlying_squared_error
from .reduce import REDUCTIONS, reduce_pixels, split_ignore

__all__ = [
    'LABEL_FUNCTIONS', 'LABEL_ORDERS', 'REDUCTIONS', 'Scores', 'adjusted_cross_entropy', 'confusion_matrix',
    'outlying_labels', 'outlying_squared_error', 'per_class', 'reduce_pixels', 'scores', 'split_ignore'
]
