"""Which checkpoints are loaded (a pickle can run code), and which one a run is resumed from."""
from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

FORCE_SAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
FORCE_UNSAFE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
TRUST = 'loading such a file can run code; if you know who made it, pass --trust-checkpoint'


class CheckpointError(ValueError):
    """A checkpoint that the tools do not load."""


class DamagedCheckpointError(CheckpointError):
    """A file that is missing, truncated or no checkpoint."""


class UntrustedCheckpointError(CheckpointError):
    """A pickle of more than tensors and plain data."""


def set_trust(trust: bool) -> None:
    """Decide for the whole process, and for the stack's own calls, whether ``torch.load`` may unpickle anything.

    Without this, onedl-mmengine loads a file that is not plain data unsafely, after a mere warning.
    """
    os.environ.pop(FORCE_SAFE if trust else FORCE_UNSAFE, None)
    os.environ[FORCE_UNSAFE if trust else FORCE_SAFE] = '1'


def inspect_checkpoint(path: str | Path, *, trust: bool = False) -> dict[str, Any]:
    """Return the content of a local checkpoint with tensors on ``meta``: no weights are read, and no code of it runs.

    Args:
        path: The file.
        trust: Load any pickle, which may run code.

    Raises:
        DamagedCheckpointError: It is missing, truncated or no checkpoint.
        UntrustedCheckpointError: It does not load under plain ``weights_only=True``.
    """
    shown = str(path)
    if not os.path.isfile(path):
        raise DamagedCheckpointError(f'`checkpoint` must be an existing file, got {shown!r}')
    try:
        content = torch.load(path, map_location='meta', weights_only=not trust)
    except pickle.UnpicklingError as error:
        raise UntrustedCheckpointError(f'`checkpoint` must hold tensors and plain data only, got {shown!r}'
                                       f'{_unsafe_names(path)}; {TRUST}') from error
    except PermissionError:
        raise
    except Exception as error:  # a damaged archive raises RuntimeError or OSError, a damaged pickle nearly anything
        reason = ' '.join(str(error).split())[:80]
        raise DamagedCheckpointError(f'`checkpoint` must be a complete file of torch.save, got {shown!r} '
                                     f'({type(error).__name__}: {reason})') from error
    if not isinstance(content, Mapping):
        raise DamagedCheckpointError(f'`checkpoint` must hold a dict, got {shown!r} holding a {type(content).__name__}')
    return dict(content)


def check_named_checkpoints(cfg: Mapping[str, Any], *, trust: bool) -> None:
    """Inspect the local files that a config starts from: ``load_from`` and pretrained weights in the model.

    Missing files and URLs are left to the stack; :func:`set_trust` holds for what a URL delivers.
    """
    names = [cfg.get('load_from'), *_pretrained(cfg.get('model'))]
    for name in names:
        if isinstance(name, str) and os.path.isfile(name):
            inspect_checkpoint(name, trust=trust)


def find_resume(work_dir: str | Path, pattern: str = r'(?:iter|epoch)_(\d+)\.pth', *,
                trust: bool = False) -> tuple[str | None, list[str]]:
    """Return the checkpoint to resume from, and warnings.

    That is the one which ``last_checkpoint`` names, else, if it is damaged or missing, the newest good one beside it.

    Args:
        work_dir: Where the run wrote its checkpoints.
        pattern: Of a checkpoint's file name; the group is its iteration or epoch.
        trust: As for :func:`inspect_checkpoint`.

    Returns:
        ``(None, warnings)`` if the run has not saved anything yet.

    Raises:
        DamagedCheckpointError: There are checkpoints, but none is good.
        UntrustedCheckpointError: The one to take is no plain data.
    """
    work_dir, warnings, damage = Path(work_dir), [], None
    for path in _candidates(work_dir, pattern):
        try:
            inspect_checkpoint(path, trust=trust)
        except DamagedCheckpointError as error:
            damage = damage or error
            warnings.append(f'{error}; trying the one before')
            continue
        return str(path), warnings
    if damage is not None:
        raise damage
    return None, [f'nothing to resume in {str(work_dir)!r}: the run starts at the beginning']


@contextmanager
def refused_pickles() -> Iterator[None]:
    """Turn the refusal of a checkpoint that the stack itself loads (from a URL, say) into an error of one line."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise UntrustedCheckpointError(f'`checkpoint` must hold tensors and plain data only, got one that the config names and '
                                       f'that does not; {TRUST}') from error


def _candidates(work_dir: Path, pattern: str) -> Iterator[Path]:
    pointer = work_dir / 'last_checkpoint'
    first = None
    if pointer.is_file() and (text := pointer.read_text(encoding='utf-8', errors='replace').strip()):
        first = Path(text)
        if not first.is_file() and (work_dir / first.name).is_file():
            first = work_dir / first.name  # the folder was moved, or the path is relative to where the run was started
        yield first
    folder = first.parent if first is not None and first.parent.is_dir() else work_dir
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := re.fullmatch(pattern, path.name))] \
        if folder.is_dir() else []
    for _, path in sorted(numbered, reverse=True):
        if first is None or path.name != first.name:
            yield path


def _pretrained(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        yield node.get('pretrained')
        if node.get('type') == 'Pretrained':
            yield node.get('checkpoint')
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _pretrained(value)


def _unsafe_names(path: str | Path) -> str:
    """Return the names of the functions that the file would call, where torch can list them."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # old formats, old torch: the name is only a help
        return ''
    return f' with {", ".join(sorted(names)[:3])}' if names else ''
