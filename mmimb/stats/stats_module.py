"""A module whose class vectors are computed from statistics, which are read when training first needs them."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class StatsModule(nn.Module):
    """Base of losses and class weights: holds float64 vectors. They are saved in checkpoints only if they change in training.

    A subclass names its vectors in :attr:`vectors` and computes them in :meth:`compute_vectors`. They are computed when
    the module is built, unless ``source`` is a path: then at the first ``train()`` or forward, so that inference works
    on a machine without the file.

    Args:
        source: What the vectors are computed from; a path is read late, anything else at once.
    """

    vectors: tuple[str, ...] = ()
    checkpointed = False  # whether the vectors are state that a resumed run needs

    def __init__(self, source: Any = None) -> None:
        super().__init__()
        self._source = source
        self._ready = False
        for name in self.vectors:
            self.register_buffer(name, torch.empty(0, dtype=torch.float64), persistent=self.checkpointed)

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        """Return the float64 vector of every name in :attr:`vectors`."""
        return {}

    def prepare(self) -> None:
        """Read the source and compute the vectors; does nothing the second time."""
        if self._ready:
            return
        for name, value in self.compute_vectors(self._source).items():
            setattr(self, name, value.to(getattr(self, name).device, torch.float64))
        self._ready = True

    @property
    def reads_file(self) -> bool:
        """Whether the vectors come from a file."""
        return isinstance(self._source, (str, Path))

    def prepare_unless_file(self) -> None:
        """Compute the vectors now unless that means to read a file; the last line of a subclass' ``__init__``."""
        if not self.reads_file:
            self.prepare()

    def train(self, mode: bool = True) -> StatsModule:
        """Set the mode as usual; entering training reads what is still to be read."""
        if mode:
            self.prepare()
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> StatsModule:
        """Move the vectors with the module but keep them in float64: ``model.half()`` must not round class counts."""
        exact = {name: getattr(self, name) for name in self.vectors}
        super()._apply(fn, recurse)
        for name, value in exact.items():
            setattr(self, name, value.to(getattr(self, name).device))
        return self
