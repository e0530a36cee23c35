"""The report as one HTML file: nothing in it is loaded from elsewhere."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..scan.crops import CropCounts
from ..scan.findings import ERROR, FINDINGS, NOTE, WARNING
from ..scan.reader import Reader
from ..scan.sample_reader import SampleReader
from ..scan.scan import Scan
from ..stats.imbalance import class_labels, derive
from .crops import SHOWN_CROPS, crop_rows
from .examples import find_examples, find_places
from .figures import cooccurrence_figure, frequency_figures, scheme_figure
from .schemes import all_schemes
from .suggest import Suggestion, fix_first
from .svg import GROUP_COLORS, thousands
from .templating import render_page
from .thumbnails import Thumb, find_thumbnails

SHOWN_FILES = 50  # of a finding; the JSON has more
FEW_ROWS = 30  # classes of a table that is open at first
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class PageSource:
    """The content of a page; an empty part is left out.

    Args:
        scan: Counts and findings.
        title: Heading, such as the name of the config.
        suggestion: A config to start from; none for counts of another split than that of training.
        reader: Of the scan, for example images and maps.
        crops: What batches hold.
        run: When, where and with which versions the files were read.
    """

    scan: Scan
    title: str
    suggestion: Suggestion | None = None
    reader: Reader | None = None
    crops: CropCounts | None = None
    run: Mapping[str, Any] = field(default_factory=dict)


def render(source: PageSource) -> bytes:
    """Return the HTML. Class and file names are escaped, whatever they hold.

    Raises:
        ImportError: jinja2 or matplotlib is missing.
    """
    return render_page('report.html.j2', _values(source))


def _values(source: PageSource) -> dict[str, Any]:
    stats, together = source.scan.stats, source.scan.cooccurrence
    found, schemes = derive(stats), all_schemes(stats)
    reader = None if source.reader is None else SampleReader(source.reader)
    return {
        'title': source.title, 'stats': stats, 'found': found, 'names': class_labels(stats), 'schemes': schemes,
        'order': stats.order(), 'groups': stats.groups(), 'group_colors': GROUP_COLORS, 'suggestion': source.suggestion,
        'fix_first': fix_first(source.scan.audit),
        'frequency': frequency_figures(stats), 'scheme_lines': scheme_figure(stats, schemes),
        'cooccurrence': cooccurrence_figure(stats, together) if together.size else None,
        'examples': [] if reader is None else find_examples(stats, source.scan.per_image, reader),
        'places': [] if reader is None else find_places(stats, source.scan.per_image, reader),
        'audit': _audit(source.scan.audit, {} if reader is None else find_thumbnails(source.scan.audit, reader)),
        'few': stats.num_classes <= FEW_ROWS, 'audit_summary': _summary(source.scan.audit),
        'crops': None if source.crops is None else crop_rows(stats, source.crops), 'crop_settings': source.crops,
        'shown_crops': SHOWN_CROPS, 'run': source.run,
        'ratio': thousands(round(found.ratio, 1 if found.ratio < 100 else None)),
        'tail_share': sum(found.prior[c] for c in stats.groups()['tail']),
    }


def _audit(audit: Mapping[str, Any], thumbs: Mapping[str, list[Thumb]]) -> list[dict[str, Any]]:
    """Return the findings, the worst first, with the files that are shown and pictures of some."""
    rows = [{'severity': entry['severity'], 'total': entry['total'], 'files': entry['files'][:SHOWN_FILES],
             'title': FINDINGS[name].title if name in FINDINGS else name, 'thumbs': thumbs.get(name, [])}
            for name, entry in audit.items()]
    return sorted(rows, key=lambda row: SEVERITIES.index(row['severity']))


def _summary(audit: Mapping[str, Any]) -> str:
    """Return how many findings there are of the worst severity, such as ``2 errors``."""
    for kind in SEVERITIES:
        if count := sum(entry['severity'] == kind for entry in audit.values()):
            return f'{count} {kind}{"s" * (count > 1)}'
    return 'clean'
