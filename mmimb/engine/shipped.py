"""The configs that come with mmimb, under names such as ``'mmimb::demo/fast-scnn_demo_ce.py'``: as a base, and for commands.

mmengine's own way for ``'mmseg::…'`` does not do: it gives every module of such a base the scope of the package, in which
``'EncoderDecoder'`` is not found, and it does not find the package of an editable installation on the openmmlab stack.
"""
from __future__ import annotations

from pathlib import Path

PREFIX = 'mmimb::'
PACKAGE = Path(__file__).resolve().parents[1]


def shipped_configs() -> Path:
    """Return the folder of the configs: ``.mim/configs`` of the installed package, ``configs`` beside it in a clone."""
    installed = PACKAGE / '.mim/configs'
    return installed if installed.is_dir() else PACKAGE.parent / 'configs'


def config_path(name: str) -> str:
    """Return the path of a config: of one that is shipped, or ``name`` itself.

    Raises:
        FileNotFoundError: None that is shipped has this name.
    """
    if not name.startswith(PREFIX):
        return name
    path = shipped_configs() / name.removeprefix(PREFIX)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else shipped_configs()
        there = sorted(found.name for found in folder.iterdir() if found.suffix == '.py' or found.is_dir())
        raise FileNotFoundError(f'`config` must be one that comes with mmimb, got {name!r} (there are: {", ".join(there)})')
    return str(path)


def find_shipped_bases() -> None:
    """Have mmengine find ``_base_ = 'mmimb::…'``."""
    from mmengine.config import Config

    before = Config._get_cfg_path
    if getattr(before, 'finds_shipped_bases', False):
        return

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        return (config_path(cfg_path), None) if cfg_path.startswith(PREFIX) else before(cfg_path, filename)

    get_cfg_path.finds_shipped_bases = True  # type: ignore[attr-defined]
    Config._get_cfg_path = staticmethod(get_cfg_path)
