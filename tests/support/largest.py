"""What code allocates."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Largest(TorchDispatchMode):
    """Within ``with Largest() as largest:``, ``largest.size`` is the number of elements of the largest tensor on the CPU.

    Args:
        given: Tensors that do not count.
    """

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self.size = 0
        self.given = {tensor.untyped_storage().data_ptr() for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(value, Tensor) and value.device.type == 'cpu':
                storage = value.untyped_storage()
                if storage.data_ptr() not in self.given:
                    self.size = max(self.size, storage.nbytes() // value.element_size())
        return out
