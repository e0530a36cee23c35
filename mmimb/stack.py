"""One clear line when the OpenMMLab stack under us is missing, incomplete or mixed."""
from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO

INSTALL_HINT = ("install one of the two stacks: `pip install 'mmimb[onedl]'` (maintained, no compiler needed) or "
                "`pip install 'mmimb[openmmlab]'` (mmcv needs a compiler; see README)")
COMPILE_HINT = 'compile mmcv with its operators (docs/heads.md: MMCV_WITH_OPS=1)'
COMPILED = {  # heads of mmseg with compiled operators: the operator, and a head that does without
    'PointHead': ('point_sample', 'OCRHead'), 'SideAdapterCLIPHead': ('point_sample', 'SegmenterMaskTransformerHead'),
    'PSAHead': ('PSAMask', 'NLHead'), 'CCHead': ('CrissCrossAttention', 'NLHead')}
OF_MMDET = ('Mask2FormerHead', 'MaskFormerHead')
MMDET_HINT = "install it with `pip install 'mmimb[openmmlab-mmdet]'` (stack openmmlab; docs/heads.md says how on onedl)"
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


@cache
def lacking(head: str) -> str:
    """Return why a head of mmseg, by the name of its class, cannot be built here, and what to do; nothing if it can."""
    if head in OF_MMDET:
        needs, hint, other = 'mmdet and the operators of mmcv', MMDET_HINT, 'IterativeDecodeHead'
    elif head in COMPILED:
        operator, other = COMPILED[head]
        needs, hint = f'the operator {operator} of mmcv.ops', COMPILE_HINT
    else:
        return ''
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter('ignore')
            import_module('mmcv.ops')
            if head in OF_MMDET:
                import_module('mmdet.models')
    except (ImportError, AssertionError) as error:  # mmdet asserts the versions of the others
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f'{head}, which needs {needs} ({reason}): {hint}, or take another head, such as {other}'
    return ''
