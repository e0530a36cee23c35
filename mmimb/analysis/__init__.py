"""After training: comparing results, tuning decisions."""
from .compare import verdict
from .grid import Grid, latex, markdown, rich_table
from .load import Loaded, load
from .pairs import Comparison, compare_runs
from .plot import draw
from .runs import Run
from .tables import csv_text, tables

__all__ = ['Comparison', 'Grid', 'Loaded', 'Run', 'compare_runs', 'csv_text', 'draw', 'latex', 'load', 'markdown', 'rich_table',
           'tables', 'verdict']
