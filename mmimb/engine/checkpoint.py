"""Which checkpoints are loaded (a pickle can run code), and which one a run is resumed from."""
from __future__ import annotations

import errno
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

FORCE_SAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
FORCE_UNSAFE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
ARCHIVE, PICKLE = b'PK\x03\x04', b'\x80'  # how files of torch.save begin: since 1.6, and before
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE)
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


def inspect_checkpoint(path: str | Path, *, trust: bool = False, complete: bool = True) -> dict[str, Any]:
    """Return the content of a local checkpoint with tensors on ``meta``; no code of it runs.

    Args:
        path: The file.
        trust: Load any pickle, which may run code.
        complete: Read all of it, and hold it against its checksums; False for a file that has been through this already.

    Raises:
        DamagedCheckpointError: It is missing, truncated, changed or no checkpoint.
        UntrustedCheckpointError: It does not load under plain ``weights_only=True``.
        OSError: It cannot be read, which says nothing about what it holds.
    """
    shown = str(path)
    if not os.path.isfile(path):
        raise DamagedCheckpointError(f'`checkpoint` must be an existing file, got {shown!r}')
    try:
        if complete:
            _check_bytes(path, trust)
        content = torch.load(path, map_location='cpu' if complete else 'meta', weights_only=not trust)
    except pickle.UnpicklingError as error:
        if trust:  # any pickle would have been loaded
            raise DamagedCheckpointError(f'`checkpoint` must be a complete file of torch.save, got {shown!r} '
                                         f'({" ".join(str(error).split())[:80]})') from error
        raise UntrustedCheckpointError(f'`checkpoint` must hold tensors and plain data only, got {shown!r}'
                                       f'{_unsafe_names(path)}; {TRUST}') from error
    except Exception as error:  # a damaged archive raises RuntimeError or OSError, a damaged pickle nearly anything
        if _unreadable(error):
            raise
        reason = ' '.join(str(error).split())[:120]
        raise DamagedCheckpointError(f'`checkpoint` must be a complete file of torch.save, got {shown!r} '
                                     f'({type(error).__name__}: {reason})') from error
    if not isinstance(content, Mapping):
        raise DamagedCheckpointError(f'`checkpoint` must hold a dict, got {shown!r} holding a {type(content).__name__}')
    return {key: _without_data(value) for key, value in content.items()}


def _check_bytes(path: str | Path, trust: bool) -> None:
    """Raise an error if a file is none of ``torch.save``, or an archive in which a checksum does not fit.

    torch writes the checksums and does not read them. Its format before 1.6, a plain pickle, has none.
    """
    with open(path, 'rb') as file:
        start = file.read(4)
    if start.startswith(ARCHIVE[:2]):
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
        if wrong is not None:
            raise ValueError(f'the checksum of {wrong} does not fit; was it saved under set_crc32_options(False)?')
    elif not start.startswith(PICKLE) and not trust:
        raise ValueError(f'it begins with {start!r}')


def _without_data(node: Any) -> Any:
    if isinstance(node, torch.Tensor):
        return node.to('meta')
    if isinstance(node, Mapping):
        return {key: _without_data(value) for key, value in node.items()}
    if type(node) in (list, tuple):
        return type(node)(_without_data(value) for value in node)
    return node


def _unreadable(error: BaseException) -> bool:
    """Tell whether the machine is at fault, not the file."""
    if isinstance(error, OSError):
        return error.errno in UNREADABLE
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


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

    That is the one which ``last_checkpoint`` names, else, if it is damaged or missing, the newest good one beside it. All of a
    file is read for that.

    Args:
        work_dir: Where the run wrote its checkpoints.
        pattern: Of a checkpoint's file name; the group is its iteration or epoch.
        trust: As for :func:`inspect_checkpoint`.

    Returns:
        ``(None, warnings)`` if the run has not saved anything yet, or nothing that is good: a kill in the first save must not
        keep the run from ever starting again.

    Raises:
        UntrustedCheckpointError: The one to take is no plain data.
    """
    work_dir, warnings = Path(work_dir), []
    for path in _candidates(work_dir, pattern):
        try:
            inspect_checkpoint(path, trust=trust)
        except DamagedCheckpointError as error:
            warnings.append(f'{error}; trying the one before')
            continue
        if warnings:
            warnings.append(f'resuming from {str(path)!r}')
        return str(path), warnings
    return None, [*warnings, f'nothing {"complete " if warnings else ""}to resume in {str(work_dir)!r}: '
                             'the run starts at the beginning']


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
