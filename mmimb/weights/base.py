"""Class weights: one ``(C,)`` vector, given, or computed by a registered scheme."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checks import number
from ..registry import MODELS
from ..stats import StatsModule
from .reading import READERS, read_weights, shortened


class ClassWeight(StatsModule):
    """A weighting scheme: ``module.weight`` is its float64 ``(C,)`` vector, ready after :meth:`prepare`."""

    vectors: tuple[str, ...] = ('weight', )
    weight: Tensor


class FixedWeight(ClassWeight):
    """Weights that the user gives.

    Args:
        values: A list of non-negative numbers, or the path of a ``.json``, ``.yaml`` or ``.npy`` file that holds one.
            Pickles are refused: loading one runs code.
    """

    def __init__(self, values: Sequence[float] | str | Path) -> None:
        if isinstance(values, (str, Path)) and Path(values).suffix not in READERS:
            raise ValueError(f'`class_weight` must be a list or a {", ".join(READERS)} file, got {str(values)!r}')
        super().__init__(values)
        self.prepare_unless_file()

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        return {'weight': _checked(read_weights(source) if isinstance(source, (str, Path)) else source)}


def read_class_weight(source: Any) -> list[float]:
    """Return the numbers of a list, or of a file that holds one; errors as for :class:`FixedWeight`."""
    weight = FixedWeight(source)
    weight.prepare()
    values: list[float] = weight.weight.tolist()
    return values


def checked_ratio(max_ratio: float | None) -> float | None:
    """Return a cap of the largest weight over the smallest that the user gives: at least 1, or None."""
    return None if max_ratio is None else number('max_ratio', max_ratio, least=1)


def build_class_weight(source: Any) -> ClassWeight | None:
    """Build what ``class_weight`` of a loss may be: ``None``, a list, a file, or ``dict(type='mmimb.<scheme>', ...)``."""
    if source is None or isinstance(source, ClassWeight):
        return source
    if not isinstance(source, Mapping):
        return FixedWeight(source)
    scheme = MODELS.build(dict(source)) if 'type' in source else None
    if not isinstance(scheme, ClassWeight):
        raise TypeError("`class_weight` must be a list, a file or dict(type='mmimb.<weight scheme>', ...), "
                        f'got {dict(source)!r}')
    return scheme


def _checked(values: Any) -> Tensor:
    try:
        weight = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f'`class_weight` must be a list of numbers, got {shortened(values)}') from error
    if weight.ndim != 1 or weight.numel() == 0:
        raise ValueError(f'`class_weight` must be a flat list with one number per class, got {shortened(values)}')
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise ValueError(f'`class_weight` must be finite and non-negative, got {shortened(values)}')
    if not bool(weight.any()):
        raise ValueError('`class_weight` must have a weight above 0, got zeros only')
    return weight
