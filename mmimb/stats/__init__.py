from importlib import import_module
from typing import TYPE_CHECKING, Any

from .class_stats import ClassStats
from .module import StatsModule

if TYPE_CHECKING:
    from .build import build_split
    from .per_image import PerImageCounts
    from .scan import BadLabelsError, Scan, scan_dataset
    from .sources import fingerprint

__all__ = ['BadLabelsError', 'ClassStats', 'PerImageCounts', 'Scan', 'StatsModule', 'build_split', 'fingerprint',
           'scan_dataset']

_LAZY = {'BadLabelsError': 'scan', 'PerImageCounts': 'per_image', 'Scan': 'scan', 'build_split': 'build',
         'fingerprint': 'sources', 'scan_dataset': 'scan'}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_LAZY[name]}', __name__), name)
