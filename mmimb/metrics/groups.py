"""Groups of classes (head, medium, tail): from statistics or from a config."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from ..stats import ClassStats


def check_groups(groups: Any) -> dict[str, list[Any]]:
    """Return ``groups`` as plain lists; what can be told without the class names is checked.

    Raises:
        TypeError: It is no mapping of names to lists of class names or ids.
        ValueError: It is empty.
    """
    if not isinstance(groups, Mapping):
        raise TypeError(f'`groups` must be a mapping like dict(head=[...], medium=[...], tail=[...]), got {groups!r}')
    if not groups:
        raise ValueError(f'`groups` must have at least one group, got {groups!r}')
    for name, members in groups.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f'`groups` must have names as keys, got {name!r}')
        if isinstance(members, str) or not isinstance(members, Sequence):
            raise TypeError(f'`groups[{name!r}]` must be a list of class names or ids, got {members!r}')
        for member in members:
            if isinstance(member, bool) or not isinstance(member, (str, Integral)):
                raise TypeError(f'`groups[{name!r}]` must hold class names or ids, got {member!r}')
    return {name: list(members) for name, members in groups.items()}


def resolve_groups(groups: Mapping[str, Sequence[Any]] | None, classes: Sequence[str],
                   stats: ClassStats | None) -> dict[str, list[int]]:
    """Return ``{name: class ids}``: the given groups, else thirds of the classes by frequency, else nothing.

    Args:
        groups: Lists of class names or ids; need not hold every class.
        classes: Class names in label order.
        stats: Counts of the training split; the ids of a group then go from frequent to rare.

    Raises:
        ValueError: A class is unknown or in two groups, or the statistics are of other classes.
    """
    if stats is not None:
        stats.fit(len(classes), classes, 'the evaluated dataset')
    if groups is None:
        return {} if stats is None else stats.groups()
    owner: dict[int, str] = {}
    for name, members in groups.items():
        for member in members:
            class_id = _class_id(member, classes, name)
            if class_id in owner:
                raise ValueError(f'`groups` must hold every class at most once, got {classes[class_id]!r} in '
                                 f'{owner[class_id]!r} and in {name!r}')
            owner[class_id] = name
    order = stats.order() if stats is not None else list(owner)
    return {name: [c for c in order if owner.get(c) == name] for name in groups}


def _class_id(member: Any, classes: Sequence[str], group: str) -> int:
    if isinstance(member, str):
        if member not in classes:
            raise ValueError(f'`groups[{group!r}]` must hold classes of the dataset ({", ".join(classes)}), got {member!r}')
        return list(classes).index(member)
    if not 0 <= member < len(classes):
        raise ValueError(f'`groups[{group!r}]` must hold ids in [0, {len(classes)}), got {member!r}')
    return int(member)
