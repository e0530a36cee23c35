"""Checkpoints that appear whole or not at all: a kill while one is written leaves no half of it under its name."""
from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log

from ..files import remove_leftovers, write_files

BACKEND = 'mmimb_whole_files'


class WholeFileBackend(LocalBackend):
    """The local file system, with files that are written beside their place and then moved there."""

    def put(self, obj: Any, filepath: str | Path) -> None:
        write_files({Path(filepath): obj.getvalue() if hasattr(obj, 'getvalue') else obj})


register_backend(BACKEND, WholeFileBackend, force=True)


def save_whole(hook: CheckpointHook) -> None:
    """Have a ``CheckpointHook`` that writes to a local folder, and has found it, write whole files."""
    if hook.file_client_args is None and type(hook.file_backend) is LocalBackend:
        hook.backend_args = {**(hook.backend_args or {}), 'backend': BACKEND}
        hook.file_backend = get_file_backend(hook.out_dir, backend_args=hook.backend_args)


def remove_halves(folder: Path) -> None:
    """Remove what kills have left in a run's folder: parts of files, and best checkpoints that mmengine wrote in part.

    Their names may never be written again, so that they would stay beside the best checkpoint of the run that goes on.
    """
    cut = [path for path in folder.glob('best_*.pth') if path.is_file() and _is_cut(path)]
    for path in cut:
        path.unlink()
    for path in [*cut, *remove_leftovers(folder, '*.pth')]:
        print_log(f'removed {path}: a kill has left it half-written', logger='current', level=logging.WARNING)


def _is_cut(path: Path) -> bool:
    """Tell whether a file is the beginning of an archive of ``torch.save``, or empty."""
    with path.open('rb') as file:
        start = file.read(4)
    return b'PK\x03\x04'.startswith(start) and not zipfile.is_zipfile(path)
