"""The list of images that a dataset opens: one name in each line, without folder and extension."""
from __future__ import annotations

from pathlib import Path

BYTE_ORDER_MARK = '\ufeff'
SHOWN_LINES = 5


def read_list(path: str, where: str) -> list[str]:
    """Return the names in a list of images, as mmengine reads them.

    Args:
        path: The file.
        where: The place in the config, for messages.

    Raises:
        ValueError: It lists nothing, is no UTF-8, begins with a byte-order mark, or has blank lines, each of which would be
            an image without a name.
    """
    try:
        text = Path(path).read_bytes().decode('utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'`{where}` must be UTF-8 text, got {path!r} ({error.reason} at byte {error.start})') from error
    lines = [line.strip() for line in text.removesuffix('\n').split('\n')]
    if not any(lines):
        raise ValueError(f'`{where}` must list at least one image, got the empty file {path!r}')
    if text.startswith(BYTE_ORDER_MARK):
        raise ValueError(f'`{where}` must be without a byte-order mark, which would be part of the first name, got one in '
                         f'{path!r}; save it as UTF-8 without BOM')
    blank = [str(number) for number, line in enumerate(lines, start=1) if not line]
    if blank:
        more = f' and {len(blank) - SHOWN_LINES} more' if len(blank) > SHOWN_LINES else ''
        raise ValueError(f'`{where}` must name an image in every line, got blank lines in {path!r}: '
                         f'{", ".join(blank[:SHOWN_LINES])}{more}')
    return lines
