"""Writing a question of the contract: registering it, and the comparisons that it makes."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .tested_loss import Subject

QUESTIONS: dict[str, Callable[[Subject], None]] = {}


def question(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """Add a function to the contract; the first line of its docstring is what the table prints."""
    QUESTIONS[function.__name__] = function
    return function


class Broken(Exception):
    """A question of the contract was answered wrongly; the message says how."""


def expect(condition: Any, message: str) -> None:
    """Raise :class:`Broken` unless ``condition`` holds."""
    if not bool(condition):
        raise Broken(message)


def same(got: Tensor, want: Tensor, message: str, *, rtol: float = 1e-9) -> None:
    """Raise :class:`Broken` unless two tensors have one shape and agree to ``rtol`` of the largest entry of ``want``."""
    expect(got.shape == want.shape, f'{message}: shape {tuple(got.shape)}, expected {tuple(want.shape)}')
    got, want = got.detach().double(), want.detach().double()
    size = want.abs().max().clamp(min=1e-12) if want.numel() else torch.tensor(1.)
    worst = (got - want).abs().max() if want.numel() else torch.tensor(0.)
    expect(worst <= rtol * size, f'{message}: differs by {float(worst):.3g} where the largest value is {float(size):.3g}')


def refused(action: Callable[[], object], word: str) -> None:
    """Raise :class:`Broken` unless ``action`` raises a ``ValueError`` or ``TypeError`` that names ``word``."""
    try:
        action()
    except (ValueError, TypeError) as error:
        expect(word in str(error), f'the error does not name {word!r}: {error}')
    except Exception as error:
        raise Broken(f'{word!r} ends in {type(error).__name__}, not in a ValueError') from error
    else:
        raise Broken(f'{word!r} is accepted')
