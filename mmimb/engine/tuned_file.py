"""Checkpoints with decision offsets: weights and how they were tuned; without the offsets, bit by bit what they were."""
from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import write_files
from .checkpoint import CheckpointError, inspect_checkpoint

RECORD = 'decision_offsets'
NEEDED = {'key', 'bias', 'offsets'}


def load_weights(path: str, *, trust: bool) -> dict[str, Any]:
    """Return ``state_dict`` and ``meta`` of a checkpoint, and the record of its offsets if it has some.

    Raises:
        CheckpointError: It is no local checkpoint that may be loaded, or its record is broken.
    """
    if '://' in path:
        raise CheckpointError(f'`CHECKPOINT` must be a local file, got {path!r}')
    inspect_checkpoint(path, trust=trust)
    content = torch.load(path, map_location='cpu', weights_only=not trust)
    state = content.get('state_dict', content)
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f'`CHECKPOINT` must hold weights, got {path!r} without any')
    kept: dict[str, Any] = {'state_dict': state, 'meta': {} if state is content else content.get('meta') or {}}
    record = content.get(RECORD)
    if record is None:
        return kept
    if not isinstance(record, Mapping) or not set(record) >= NEEDED or not _fits(state, record):
        raise CheckpointError(f'`CHECKPOINT` must hold `{RECORD}` as `mmimb tune` writes it, got {path!r}')
    return {**kept, RECORD: dict(record)}


def without_offsets(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checkpoint as it was before it was tuned; one that never was, as it is."""
    state, record = dict(content['state_dict']), content.get(RECORD)
    if record is not None and record['bias'] is None:
        state.pop(record['key'], None)
    elif record is not None:
        state[record['key']] = record['bias']
    return {'state_dict': _like(content['state_dict'], state), 'meta': content['meta']}


def with_offsets(content: Mapping[str, Any], key: str, bias: Tensor | None, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an untuned checkpoint with ``bias`` in its place in the layer, and the record with what was there.

    Args:
        content: What :func:`without_offsets` returns.
        key: Name of the bias in the model, or of the offsets of a cosine classifier.
        bias: The new one; None leaves the weights alone.
        record: How it was found.

    Raises:
        CheckpointError: The checkpoint has no such layer.
    """
    state = dict(content['state_dict'])
    layer = f'{key.rpartition(".")[0]}.'
    prefix = next((p for p in ('', 'module.') if f'{p}{layer}weight' in state), None)
    if prefix is None:
        raise CheckpointError(f'`CHECKPOINT` must hold {layer}weight, got one without it')
    key = prefix + key
    old = state.get(key)
    if bias is not None:
        state[key] = bias.detach().cpu().to(state[f'{prefix}{layer}weight'].dtype)
    return {'state_dict': _like(content['state_dict'], state), 'meta': content['meta'],
            RECORD: {**record, 'key': key, 'bias': None if old is None else old.clone()}}


def write_checkpoint(path: str, content: Mapping[str, Any]) -> None:
    """Write a checkpoint; at no time is there half a file."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_files({Path(path): buffer.getvalue()})


def check_out(out: str, checkpoint: str) -> None:
    """Raise a ``ValueError`` if ``out`` is the checkpoint: its optimizer would be lost."""
    if os.path.exists(out) and os.path.exists(checkpoint) and os.path.samefile(out, checkpoint):
        raise ValueError(f'`--out` must be another file than CHECKPOINT, got {out!r} twice')


def _fits(state: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    old, now = record['bias'], state.get(record['key'])
    return old is None or (isinstance(old, Tensor) and isinstance(now, Tensor) and old.shape == now.shape)


def _like(original: Mapping[str, Any], state: dict[str, Any]) -> Any:
    """Return ``state`` as the kind of mapping that ``original`` is, with the versions of its modules."""
    out: Any = OrderedDict(state) if isinstance(original, OrderedDict) else state
    if (metadata := getattr(original, '_metadata', None)) is not None:
        out._metadata = metadata
    return out
