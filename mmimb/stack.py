"""One clear line when the OpenMMLab stack under us is missing, incomplete or mixed."""
from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO

INSTALL_HINT = ("install one of the two stacks: `pip install 'mmimb[onedl]'` (maintained, no compiler needed) or "
                "`pip install 'mmimb[openmmlab]'` (mmcv needs a compiler; see README)")
STACKS = {
    'onedl': ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation'),
    'openmmlab': ('mmengine', 'mmcv', 'mmsegmentation'),
}


def installed_stacks() -> dict[str, dict[str, str]]:
    """Return ``{stack: {distribution: version}}`` for every distribution of a stack that is installed."""
    found: dict[str, dict[str, str]] = {}
    for stack, distributions in STACKS.items():
        for name in distributions:
            try:
                found.setdefault(stack, {})[name] = version(name)
            except PackageNotFoundError:
                continue
    return found


def require_stack() -> None:
    """Import ``mmengine``, ``mmcv`` and ``mmseg``.

    Raises:
        ImportError: One line that names what is wrong and the two install commands.
    """
    stacks = installed_stacks()
    if len(stacks) > 1:
        both = ', '.join(f'{n} {v}' for packages in stacks.values() for n, v in packages.items())
        raise ImportError(f'two stacks overwrite each other in this environment ({both}); in a fresh one, {INSTALL_HINT}')
    for module in ('mmengine', 'mmcv', 'mmseg', 'mmseg.models', 'mmseg.datasets'):
        try:
            with warnings.catch_warnings(), redirect_stdout(StringIO()):  # onedl-mmsegmentation prints as it is imported
                warnings.filterwarnings('ignore', message='Fail to import')  # compiled operators that mmseg rarely needs
                import_module(module)
        except (ImportError, AssertionError) as error:  # mmseg asserts the versions of the other two
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ImportError(f'MMSegmentation cannot be imported ({module}: {reason}); {INSTALL_HINT}') from error


def name_installed_packages() -> None:
    """Have mmengine find the configs of ``'mmseg::…'`` in the package that is installed: onedl's have other names."""
    from mmengine.config import utils

    for scope, name in utils.MODULE2PACKAGE.items():
        if not _is_installed(name) and _is_installed(f'onedl-{name}'):
            utils.MODULE2PACKAGE[scope] = f'onedl-{name}'


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
