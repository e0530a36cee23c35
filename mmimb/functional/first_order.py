"""For functions that compute their gradient by hand, and have no second one."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the ``backward`` of an autograd function: ``create_graph=True`` is refused, for its graph would be wrong."""

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("`upsample` must be 'stock' for second derivatives, got a backward with create_graph=True")
        return backward(ctx, *grads)

    return checked
