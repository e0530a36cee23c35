"""Pure torch mathematics, unreduced; imports nothing but torch."""
from .binary import adjusted_binary_cross_entropy, channel_cross_entropy, positive_channels, rebalancing
from .boundary import band_width, boundary_band, boundary_counts
from .confusion import Scores, confusion_matrix, f_score, scores
from .cosine import cosine_scores
from .cross_entropy import adjusted_cross_entropy, complement_entropy
from .difficulty import MEASURES, class_difficulty, class_scores, difficulty_weights, dynamic_tau
from .layout import first_largest, per_class
from .lovasz import lovasz_loss
from .outlying import LABEL_FUNCTIONS, LABEL_ORDERS, outlying_labels, outlying_squared_error
from .priors import log_odds_bias, log_prior, margins, temperatures
from .reduce import REDUCTIONS, checked_reduction, hardest, reduce_pixels, split_ignore, valid_labels
from .region import occurring, soft_confusion, tversky_loss
from .weighting import (
    effective_number,
    inverse_frequency,
    log_frequency,
    median_frequency,
    normalized_weights,
    query_weights,
    suitable_beta,
)

__all__ = [
    'LABEL_FUNCTIONS', 'LABEL_ORDERS', 'MEASURES', 'REDUCTIONS', 'Scores',
    'adjusted_binary_cross_entropy', 'adjusted_cross_entropy', 'band_width', 'boundary_band', 'boundary_counts',
    'channel_cross_entropy', 'checked_reduction', 'class_difficulty', 'class_scores', 'complement_entropy', 'confusion_matrix',
    'cosine_scores', 'difficulty_weights', 'dynamic_tau', 'effective_number', 'f_score', 'first_largest',
    'hardest', 'inverse_frequency', 'log_frequency', 'log_odds_bias', 'log_prior', 'lovasz_loss', 'margins',
    'median_frequency', 'normalized_weights', 'occurring', 'outlying_labels', 'outlying_squared_error',
    'per_class', 'positive_channels', 'query_weights', 'rebalancing', 'reduce_pixels', 'scores', 'soft_confusion',
    'split_ignore', 'suitable_beta', 'temperatures', 'tversky_loss', 'valid_labels'
]
