"""The report as one HTML file: nothing in it is loaded from elsewhere."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..stats import ClassStats, PerImageCounts
from ..stats.derived import class_labels, derive
from .examples import Example, PlaceMap, SampleReader, find_examples, find_places
from .figures import cooccurrence_figure, frequency_figures, scheme_figure
from .schemes import all_schemes
from .suggest import Suggestion
from .svg import GROUP_COLORS, percent, thousands

SHOWN_FILES = 50  # of an audit finding; the JSON has more
SHOWN_CROPS = 12  # classes at first sight


@dataclass(frozen=True)
class PageSource:
    """What a page is made of; parts that are empty are left out of it.

    Args:
        stats: The counts.
        title: Heading, such as the name of the config.
        suggestion: A config to start from.
        per_image: The counts of every image.
        dataset: The built dataset, for example images and maps.
        audit: ``audit`` of the report: findings with severity, total and files.
        crops: ``crops`` of the report: counts of what batches hold.
        run: ``run`` of the report: when, where and with which versions.
    """

    stats: ClassStats
    title: str
    suggestion: Suggestion
    per_image: PerImageCounts | None = None
    dataset: Any = None
    audit: Mapping[str, Any] = field(default_factory=dict)
    crops: Mapping[str, Any] | None = None
    run: Mapping[str, Any] = field(default_factory=dict)


def render(source: PageSource) -> bytes:
    """Return the HTML. Class and file names are escaped, whatever they hold.

    Raises:
        ImportError: jinja2 or matplotlib is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError(f'jinja2 must be installed to write the report, got {error}') from error
    environment = Environment(loader=PackageLoader('mmimb.report'), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters['thousands'] = thousands
    environment.filters['percent'] = percent
    values = {**_values(source), 'svg': Markup}
    return environment.get_template('report.html.j2').render(values).encode('utf-8', 'replace')


def _values(source: PageSource) -> dict[str, Any]:
    stats, found, schemes = source.stats, derive(source.stats), all_schemes(source.stats)
    names = class_labels(stats)
    together = None if source.per_image is None else source.per_image.cooccurrence(stats.num_classes)
    examples, places = _pictures(source)
    return {
        'title': source.title, 'stats': stats, 'found': found, 'names': names, 'schemes': schemes,
        'order': stats.order(), 'groups': stats.groups(), 'group_colors': GROUP_COLORS, 'suggestion': source.suggestion,
        'frequency': frequency_figures(stats), 'scheme_lines': scheme_figure(stats, schemes),
        'cooccurrence': None if together is None else cooccurrence_figure(stats, together),
        'examples': examples, 'places': places, 'audit': _audit(source.audit), 'shown_crops': SHOWN_CROPS,
        'crops': None if source.crops is None else _crop_rows(stats, source.crops), 'crop_settings': source.crops,
        'run': source.run, 'ratio': thousands(round(found.ratio, 1 if found.ratio < 100 else None)),
        'tail_share': sum(found.prior[c] for c in stats.groups()['tail']),
        'audit_summary': _summary(source.audit),
    }


def _pictures(source: PageSource) -> tuple[list[Example], list[PlaceMap]]:
    if source.dataset is None or source.per_image is None:
        return [], []
    reader = SampleReader(source.dataset)
    return (find_examples(source.stats, source.per_image, reader), find_places(source.stats, source.per_image, reader))


def _audit(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the findings, the worst first, with the files that are shown."""
    rank = {'error': 0, 'warning': 1, 'note': 2}
    rows = [{'name': name, 'severity': str(entry['severity']), 'total': int(entry['total']),
             'files': list(entry['files'])[:SHOWN_FILES]} for name, entry in audit.items()]
    return sorted(rows, key=lambda row: rank.get(row['severity'], 3))


def _summary(audit: Mapping[str, Any]) -> str:
    """Return how many findings there are of the worst severity, such as ``2 errors``."""
    for kind in ('error', 'warning', 'note'):
        if count := sum(entry['severity'] == kind for entry in audit.values()):
            return f'{count} {kind}{"s" * (count > 1)}'
    return 'clean'


def _crop_rows(stats: ClassStats, crops: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each class, from most to least frequent, its share of whole images and of crops, and how many hold it."""
    pixels: Sequence[int] = crops['pixels']
    whole, cropped = sum(stats.pixels), max(sum(pixels), 1)
    rows = []
    for c in stats.order():
        before, after = stats.pixels[c] / whole, pixels[c] / cropped
        rows.append({'class': c, 'before': before, 'after': after, 'factor': after / before if before else None,
                     'images': stats.images[c] / stats.num_images if stats.images and stats.num_images else None,
                     'crops': crops['images'][c] / max(crops['num_crops'], 1)})
    return rows
