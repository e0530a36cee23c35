"""Measuring during training how hard each class is; one file per source of the measurement."""
from __future__ import annotations

from inspect import signature
from typing import Any

from .holdout import HoldoutSource
from .source import Source
from .training import TrainingSource
from .validation import ValidationSource

SOURCES: dict[str, type[Source]] = {kind.name: kind for kind in (TrainingSource, HoldoutSource, ValidationSource)}


def build_source(name: str | None, **settings: Any) -> Source:
    """Build the source of a name; None stands for training.

    Args:
        name: One of :data:`SOURCES`.
        settings: Arguments of the source that the user gave.

    Raises:
        ValueError, TypeError: The source does not have such a setting, or its value is out of range.
    """
    if name is not None and name not in tuple(SOURCES):
        raise ValueError(f'`source` must be one of {tuple(SOURCES)}, got {name!r}')
    kind = SOURCES[name or TrainingSource.name]
    for setting, value in settings.items():
        owners = [source for source, owner in SOURCES.items() if setting in signature(owner).parameters]
        if kind.name not in owners:
            rule = f'unless source={owners[0]!r}' if len(owners) == 1 else f'for source={kind.name!r}'
            raise ValueError(f'`{setting}` must be {False if value is True else None} {rule}, got {value!r}')
    return kind(**settings)


__all__ = ['SOURCES', 'Source', 'build_source']
