"""Class-imbalanced semantic segmentation for MMSegmentation: know it, train against it, prove it."""
from importlib import import_module

__version__ = '0.1.0'

_PUBLIC = {  # the names of mmimb's parts that Python users need: imported as they are asked for
    'datasets': ('CCPDataset', 'CamVidDataset', 'DemoDataset', 'MagneticTileDataset'),
    'heads': ('LossHead', 'TTAModel'),
    'hooks': ('ClassWeightHook', 'PlainCheckpointHook', 'PreemptionHook'),
    'losses': ('BinaryCrossEntropyLoss', 'ComplementCrossEntropyLoss', 'CrossEntropyLoss', 'DiceLoss',
               'DistributionBalancedLoss', 'ELMLoss', 'FocalLoss', 'LDAMLoss', 'LogitAdjustmentLoss', 'LovaszLoss',
               'OhemCrossEntropyLoss', 'OutlyingMSELoss', 'QueryCrossEntropyLoss', 'TverskyLoss', 'VSLoss'),
    'metrics': ('BoundaryIoUMetric', 'LongTailIoUMetric', 'MultiLabelIoUMetric', 'PrecisionRecallMetric'),
    'sampling': ('DifficultySampler', 'RareClassCrop', 'RareClassSampler', 'RepeatFactorSampler'),
    'stats': ('ClassStats', 'EvaluatedCounts', 'PerImageCounts'),
    'testing': ('check_loss', ),
    'weights': ('Deferred', 'DifficultyBalanced', 'EffectiveNumber', 'InverseFrequency', 'LogFrequency', 'MedianFrequency'),
}
_HOME = {name: part for part, names in _PUBLIC.items() for name in names}
__all__ = ['__version__', *_HOME]


def __getattr__(name: str) -> object:
    """Import a public name from its part (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_HOME[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
