"""Gives an environment the distributions that mmimb asks for, and no others, as links to those of this environment.

    python tests/support/wheel_environment.py SITE_PACKAGES EXTRA

``SITE_PACKAGES`` is that of an environment in which mmimb is installed without its dependencies. What mmimb imports and does
not ask for is missing there, although this environment may have it.
"""
from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement


def needed(found: Distribution, extras: frozenset[str], done: dict[tuple[str, frozenset[str]], Distribution]) -> None:
    """Add what a distribution with these extras asks for to ``done``, and what that asks for."""
    for requirement in map(Requirement, found.requires or ()):
        wanted = [requirement.marker is None or requirement.marker.evaluate({'extra': extra}) for extra in extras or {''}]
        key = (requirement.name.lower().replace('_', '-'), frozenset(requirement.extras))
        if any(wanted) and key not in done:
            done[key] = distribution(requirement.name)
            needed(done[key], key[1], done)


def entries(found: Distribution) -> Iterator[Path]:
    """Yield the files and folders of a distribution that lie in its site-packages."""
    for name in {file.parts[0] for file in found.files or () if '..' not in file.parts}:
        yield Path(str(found.locate_file(name)))


def main(site: Path, extra: str) -> None:
    """Link all that the mmimb of ``site`` with ``extra`` asks for into it."""
    own, = distributions(name='mmimb', path=[str(site)])
    done: dict[tuple[str, frozenset[str]], Distribution] = {}
    needed(own, frozenset({extra, ''}), done)
    for path in {path for found in done.values() for path in entries(found)}:
        if path.exists() and not (site / path.name).exists() and path.name != '__pycache__':
            (site / path.name).symlink_to(path)
    print(f'{len({name for name, _ in done})} distributions that mmimb[{extra}] asks for')


if __name__ == '__main__':
    main(Path(sys.argv[1]), sys.argv[2])
