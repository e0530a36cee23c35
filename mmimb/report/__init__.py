"""What a scan means, for people: weights side by side, a suggested config, and a page to show to colleagues."""
from .schemes import Scheme, all_schemes
from .suggest import Suggestion, suggest
from .terminal import crop_table, derived_lines, scheme_table

__all__ = ['Scheme', 'Suggestion', 'all_schemes', 'crop_table', 'derived_lines', 'scheme_table', 'suggest']
