"""Child registries: ``type='mmimb.X'`` in any mmseg config resolves here, without ``custom_imports``."""
from __future__ import annotations

from .stack import INSTALL_HINT

try:
    from mmengine import registry as root
except ImportError as error:
    raise ImportError(f'mmengine cannot be imported ({error}); {INSTALL_HINT}') from error

MODELS = root.Registry('model', parent=root.MODELS, scope='mmimb',
                       locations=['mmimb.losses', 'mmimb.heads'])
HOOKS = root.Registry('hook', parent=root.HOOKS, scope='mmimb', locations=['mmimb.hooks'])
METRICS = root.Registry('metric', parent=root.METRICS, scope='mmimb', locations=['mmimb.metrics'])
DATASETS = root.Registry('dataset', parent=root.DATASETS, scope='mmimb', locations=['mmimb.datasets'])
DATA_SAMPLERS = root.Registry('data sampler', parent=root.DATA_SAMPLERS, scope='mmimb', locations=['mmimb.sampling'])
TRANSFORMS = root.Registry('transform', parent=root.TRANSFORMS, scope='mmimb', locations=['mmimb.sampling'])
