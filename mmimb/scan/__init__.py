"""How counts are made: reading labels as training does, the audit, shards of a scan, and the files of a report."""
from .build import build_split
from .scan import BadLabelsError, Scan, scan_dataset
from .sources import fingerprint

__all__ = ['BadLabelsError', 'Scan', 'build_split', 'fingerprint', 'scan_dataset']
