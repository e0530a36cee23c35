"""Does a checkpoint hold the parameters of the model that it is loaded into? mmengine only prints what does not fit."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..heads import unwrapped
from .checkpoint import CheckpointError

NAMED = 3
HEAD = 'decode_head'


class MismatchedCheckpointError(CheckpointError):
    """A checkpoint without the parameters of the head that predicts."""


def misfits(model: Any, checkpoint: Mapping[str, Any]) -> list[str]:
    """Return a text for each parameter of ``model`` that ``checkpoint`` has not, or has in another shape."""
    state = {re.sub(r'^module\.', '', str(name)): value for name, value in checkpoint.get('state_dict', checkpoint).items()}
    found = []
    for name, parameter in unwrapped(model).named_parameters():
        shape = tuple(getattr(state.get(name), 'shape', ()))
        if name not in state:
            found.append(f'{name} missing')
        elif shape != tuple(parameter.shape):
            found.append(f'{name} {shape} for {tuple(parameter.shape)}')
    return found


def fit_hook(name: str, *, allow_mismatch: bool = False, advice: str = '') -> Any:
    """Return a hook that refuses a checkpoint whose decode head does not fit, and warns of other parts.

    Its ``meta`` is that of the checkpoint once it is loaded.

    Args:
        name: Of the checkpoint, for the message.
        allow_mismatch: Warn in place of refusing.
        advice: The end of the message.
    """
    from mmengine.hooks import Hook

    class FitHook(Hook):
        priority = 'LOWEST'  # after EMAHook has chosen its parameters
        meta: Mapping[str, Any] | None = None

        def after_load_checkpoint(self, runner: Any, checkpoint: Mapping[str, Any]) -> None:
            meta = checkpoint.get('meta')
            self.meta = meta if isinstance(meta, Mapping) else None
            found = misfits(runner.model, checkpoint)
            of_head = [text for text in found if text.startswith(f'{HEAD}.') and '.loss_decode.' not in text]
            if of_head and not allow_mismatch:
                raise MismatchedCheckpointError(f'`checkpoint` must fit the decode head, got {name!r} with {_listed(of_head)}'
                                                f'{advice}')
            if found:
                runner.logger.warning(f'{name} does not fit the model, which keeps its initial values there: {_listed(found)}')

    return FitHook()


def _listed(texts: list[str]) -> str:
    more = f' and {len(texts) - NAMED} more' if len(texts) > NAMED else ''
    return ', '.join(texts[:NAMED]) + more
