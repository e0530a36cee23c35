"""Every weighting scheme on the same counts, side by side."""
from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from ..stats import ClassStats
from ..weights import schemes

# shown besides the defaults: a milder setting, and the one of the papers, which has no effect on pixel counts
VARIANTS = {'InverseFrequency': ({'power': 0.5},), 'EffectiveNumber': ({'beta': 0.9999},)}
LISTED_WEIGHTS = re.compile(r' \([^()]*\)')


@dataclass(frozen=True)
class Scheme:
    """The weights of a scheme for some counts.

    Args:
        name: As a user writes it, such as ``InverseFrequency(power=0.5)``.
        weights: One for each class, mean 1 over the classes that occur.
        ratio: Largest weight over the smallest.
        warning: The warning of the scheme about these counts, empty if there is none.
    """

    name: str
    weights: tuple[float, ...]
    ratio: float
    warning: str


def all_schemes(stats: ClassStats) -> list[Scheme]:
    """Return all schemes that read counts, with their defaults and variants; one that lacks a count is left out."""
    found = []
    for kind in schemes.FrequencyWeight.__subclasses__():
        if kind is schemes.MedianFrequency and stats.image_pixels is None:
            continue
        for arguments in ({}, *VARIANTS.get(kind.__name__, ())):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                weight = kind(stats, **arguments).weight
            shown = ', '.join(f'{key}={value}' for key, value in arguments.items())
            name = kind.__name__ + (f'({shown})' if shown else '')
            said = '; '.join(LISTED_WEIGHTS.sub('', str(w.message)).removeprefix(f'{kind.__name__} ') for w in caught)
            found.append(Scheme(name, tuple(weight.tolist()), float(weight.max() / weight.min()), said))
    return found
