"""Class weights as a file for configs that know nothing of mmimb."""
from __future__ import annotations

import inspect
import json
import warnings
from ast import literal_eval
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks import number
from ..files import write_files
from ..stats import ClassStats
from . import schemes


def scheme_weights(name: str, arguments: Mapping[str, Any], stats: ClassStats, *,
                   no_object: float | None = None) -> list[float]:
    """Return the weights of a scheme as a list.

    Args:
        name: ``'InverseFrequency'``, ``'MedianFrequency'``, ``'LogFrequency'`` or ``'EffectiveNumber'``.
        arguments: Of the scheme, without ``stats``.
        stats: The counts.
        no_object: A last entry for the "no object" class of Mask2Former and MaskFormer, whose weights have C + 1 entries.

    Raises:
        ValueError: There is no such scheme or argument, or a value is out of range.
    """
    known = {kind.__name__: kind for kind in schemes.FrequencyWeight.__subclasses__()}
    if name not in known:
        raise ValueError(f'`class-weight` must be one of {", ".join(known)}, got {name!r}')
    allowed = [p for p in inspect.signature(known[name]).parameters if p != 'stats']
    unknown = sorted(set(arguments) - set(allowed))
    if unknown:
        raise ValueError(f'`class-weight` {name} must have arguments among {", ".join(allowed)}, got {unknown[0]!r}')
    weights: list[float] = known[name](stats, **arguments).weight.tolist()
    return weights if no_object is None else [*weights, number('no-object', no_object, least=0)]


def read_scheme(words: Sequence[str], no_object: float | None = None) -> tuple[str, dict[str, Any]]:
    """Return a scheme and its arguments from a command line, tried on small counts: mistakes are told before a long scan.

    Args:
        words: The name of the scheme, then ``key=value`` arguments.
        no_object: As in :func:`scheme_weights`.

    Raises:
        ValueError: As in :func:`scheme_weights`, or a word is no ``key=value``.
    """
    name, *pairs = words
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition('=')
        if not equals:
            raise ValueError(f'`class-weight` must be a scheme and key=value arguments, got {pair!r}')
        try:
            arguments[key] = literal_eval(text)
        except (ValueError, SyntaxError):
            arguments[key] = text
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        scheme_weights(name, arguments, ClassStats((2, 1), (1, 1), image_pixels=(3, 3)), no_object=no_object)
    return name, arguments


def write_weights(weights: list[float], path: Path) -> Path:
    """Write a JSON list, which mmseg's own ``class_weight='….json'`` reads; it appears whole or not at all."""
    write_files({path: (json.dumps(weights) + '\n').encode()})
    return path
