"""What people see of a scan: tables in the terminal, an HTML page, a suggested config."""
from .page import PageSource, render
from .present import present
from .schemes import Scheme, all_schemes
from .suggest import Suggestion, suggest
from .terminal import class_table, crop_table, derived_lines, scheme_table, show, summary_lines

__all__ = ['PageSource', 'Scheme', 'Suggestion', 'all_schemes', 'class_table', 'crop_table', 'derived_lines', 'present',
           'render', 'scheme_table', 'show', 'suggest', 'summary_lines']
