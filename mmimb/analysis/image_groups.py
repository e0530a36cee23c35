"""Which images belong together: frames of a sequence are no independent witnesses."""
from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

NAME = re.compile(r'"([^"]+)"|(\S+)')


def image_groups(paths: Sequence[str], file: str | None = None, blocks: int | None = None) -> list[int]:
    """Return a number for each image; equal ones belong together. Without arguments every image is for itself.

    Args:
        paths: Of the images or labels, in the order of the split.
        file: Text file with the names of the images of a group on a line, without suffix, those with blanks in double quotes;
            with their last folders in front (``day/0001``) where names in several folders are alike. Images in no line are
            alone.
        blocks: That many images in a row are a group.

    Raises:
        ValueError: Both are given, ``blocks`` is no positive number, a name is in two lines, or no name is one of ``paths``.
        OSError: The file cannot be read.
    """
    if file is not None and blocks is not None:
        raise ValueError(f'`--groups` must be without --blocks, got both ({file!r}, {blocks})')
    if blocks is not None:
        if blocks < 1:
            raise ValueError(f'`--blocks` must be a number of images of at least 1, got {blocks}')
        return [i // blocks for i in range(len(paths))]
    if file is None:
        return list(range(len(paths)))
    number = _read(file)
    lines = max(number.values(), default=-1) + 1
    groups = [_number_of(path, number, lines + i) for i, path in enumerate(paths)]
    if paths and min(groups) >= lines:
        raise ValueError(f'`--groups` must name images of the split, such as {Path(paths[0]).stem!r}, got none in {file!r}')
    return groups


def _number_of(path: str, number: dict[str, int], alone: int) -> int:
    """Return the line that names an image: the one with most of its folders, or ``alone``."""
    parts = PurePath(path).with_suffix('').parts
    names = ('/'.join(parts[at:]) for at in range(len(parts)))
    return next((number[name] for name in names if name in number), alone)


def _read(file: str) -> dict[str, int]:
    if not Path(file).is_file():
        raise FileNotFoundError(f'`--groups` must be an existing file, got {file!r}')
    number: dict[str, int] = {}
    try:
        lines = Path(file).read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'`--groups` must be a text file, got {file!r} ({error.reason})') from error
    for i, line in enumerate(lines):
        for name in (quoted or plain for quoted, plain in NAME.findall(line)):
            if number.setdefault(name, i) != i:
                raise ValueError(f'`--groups` must hold every name once (those with blanks in double quotes), got {name!r} in '
                                 f'lines {number[name] + 1} and {i + 1}')
    return number
