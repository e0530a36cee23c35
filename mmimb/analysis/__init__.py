"""Comparing the results of several runs."""
from .compare import verdict
from .plot import draw
from .runs import Run, load_runs
from .tables import csv_text, tables

__all__ = ['Run', 'csv_text', 'draw', 'load_runs', 'tables', 'verdict']
