"""Published counts of well-known datasets: ``stats='mmimb::cityscapes'`` in place of the path of a report."""
from __future__ import annotations

from pathlib import Path
from typing import Any

PREFIX = 'mmimb::'
FOLDER = Path(__file__).parent / 'known'


def known_names() -> list[str]:
    """Return what can be named.

    >>> known_names()
    ['mmimb::ade20k', 'mmimb::cityscapes']
    """
    return sorted(PREFIX + path.stem for path in FOLDER.glob('*.json'))


def known_path(source: Any) -> Path | None:
    """Return the file of published counts that ``'mmimb::<dataset>'`` names; None for everything else.

    Raises:
        ValueError: There are no counts of this dataset.
    """
    name = str(source)
    if not isinstance(source, (str, Path)) or not name.startswith(PREFIX):
        return None
    if name not in known_names():
        raise ValueError(f'`stats` must be one of {", ".join(known_names())} or the path of a report of `mmimb scan`, '
                         f'got {name!r}')
    return FOLDER / f'{name.removeprefix(PREFIX)}.json'


def refuse_published(source: Any) -> None:
    """Raise a ``ValueError`` if ``source`` names published counts: for what needs the counts of every image."""
    if known_path(source) is not None:
        raise ValueError('`stats` must be the path of a report of `mmimb scan` for this use, which needs the counts '
                         f'of every image, got the published counts {str(source)!r}, which are sums')
