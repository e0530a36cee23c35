"""Dividing images into train, val and test so that no group is divided and every class is in its share."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

SPLITS = ('train', 'val', 'test')
SHARES = (0.6, 0.15, 0.25)


def group_split(groups: Sequence[Sequence[str]], classes: Mapping[str, Sequence[int]], *, seed: int = 0,
                shares: Sequence[float] = SHARES) -> dict[str, list[str]]:
    """Return the stems of each split.

    Iterative stratification: of the classes with groups left, the one with the fewest goes next; each of its groups goes to
    the split that lacks most images of that class, for its share. Groups without a class of interest fill up the splits.

    Args:
        groups: Stems that belong together; each stem in one group.
        classes: The classes that count of each stem; none for a background image.
        seed: Of the order of the groups.
        shares: Of the images, for train, val and test.
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    left = [list(groups[k]) for k in order]
    held = [{c for stem in group for c in classes[stem]} for group in left]
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    while left:
        number = {c: sum(c in h for h in held) for h in held for c in h}
        wanted = min(number, key=lambda c: (number[c], c)) if number else None
        k = next((i for i, h in enumerate(held) if wanted in h), 0)
        total = _images(groups, classes, wanted)
        have = [sum(wanted is None or wanted in classes[stem] for stem in lists[split]) for split in SPLITS]
        lack = [share * total - number for share, number in zip(shares, have, strict=True)]
        lists[SPLITS[int(np.argmax(lack))]] += left.pop(k)
        held.pop(k)
    return {split: sorted(stems) for split, stems in lists.items()}


def read_lists(folder: str | Path, stems: Sequence[str]) -> dict[str, list[str]]:
    """Return the published lists of a folder, ``train.txt``, ``val.txt`` and ``test.txt``.

    Raises:
        FileNotFoundError: A list is missing.
        ValueError: The lists name a file that is not there, or one twice.
    """
    lists = {}
    for split in SPLITS:
        path = Path(folder) / f'{split}.txt'
        if not path.is_file():
            raise FileNotFoundError(f'`lists` must be a folder with {split}.txt, got {str(folder)!r}')
        lists[split] = path.read_text(encoding='utf-8').split()
    named = [stem for split in SPLITS for stem in lists[split]]
    if unknown := sorted(set(named) - set(stems)):
        raise ValueError(f'`lists` must name files of the source, got {unknown[0]!r}')
    if len(set(named)) != len(named):
        raise ValueError(f'`lists` must name each file once, got {len(named) - len(set(named))} twice')
    return lists


def write_lists(out: Path, lists: Mapping[str, Sequence[str]], classes: Sequence[str]) -> None:
    """Write one name per line: the lists, and the classes in the order of their ids."""
    for name, lines in {**lists, 'classes': classes}.items():
        (out / f'{name}.txt').write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def _images(groups: Sequence[Sequence[str]], classes: Mapping[str, Sequence[int]], wanted: int | None) -> int:
    return sum(wanted is None or wanted in classes[stem] for group in groups for stem in group)
