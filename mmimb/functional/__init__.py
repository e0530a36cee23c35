"""Pure torch mathematics, unreduced; imports nothing but torch."""
from .cross_entropy import adjusted_cross_entropy
from .layout import per_class
from .outlying import LABEL_FUNCTIONS, LABEL_ORDERS, outlying_labels, outlying_squared_error
from .reduce import REDUCTIONS, reduce_pixels, split_ignore

__all__ = [
    'LABEL_FUNCTIONS', 'LABEL_ORDERS', 'REDUCTIONS', 'adjusted_cross_entropy', 'outlying_labels',
    'outlying_squared_error', 'per_class', 'reduce_pixels', 'split_ignore'
]
