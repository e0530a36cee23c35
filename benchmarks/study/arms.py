"""The arms of the study: what differs from cross-entropy, as config dicts; everything else is equal."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STATS, NUM_CLASSES = '{stats}', '{num_classes}'  # filled in for each dataset


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Args:
        loss: ``loss_decode`` of the head, one config or a list.
        classifier: Of :class:`mmimb.heads.LossHead`.
        difficulty: How a ``DifficultyBalanced`` weight is measured on the training batches: ``interval`` in iterations,
            ``momentum`` of the scores, ``stride`` of the pixels.
        sampler: ``temperature`` of rare-class sampling of the views; None draws every image equally often.
        lr: Factor of the learning rate.
    """

    loss: Any
    classifier: str = 'linear'
    difficulty: Mapping[str, Any] | None = None
    sampler: float | None = None
    lr: float = 1.0
    head: Mapping[str, Any] = field(default_factory=dict)

    def losses(self, stats: Mapping[str, Any]) -> Any:
        """Return ``loss_decode`` with the counts of a dataset."""
        values = {STATS: dict(stats), NUM_CLASSES: len(stats['pixels'])}
        return _filled(self.loss, values)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {k: _filled(v, values) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(v, values) for v in value]
    return values.get(value, value) if isinstance(value, str) else value


def loss(kind: str, **arguments: Any) -> dict[str, Any]:
    return {'type': f'mmimb.{kind}', **arguments}


def weight(kind: str, **arguments: Any) -> dict[str, Any]:
    return {'type': f'mmimb.{kind}', 'stats': STATS, **arguments}


def ce(**arguments: Any) -> dict[str, Any]:
    return loss('CrossEntropyLoss', **arguments)


def root(power: float = 0.5, **arguments: Any) -> dict[str, Any]:
    return weight('InverseFrequency', power=power, **arguments)


def difficulty(**arguments: Any) -> dict[str, Any]:
    return {'type': 'mmimb.DifficultyBalanced', 'num_classes': NUM_CLASSES, **arguments}


MEASURED = {'interval': 10, 'momentum': 0.9, 'stride': 4}

ARMS: dict[str, Arm] = {
    'ce': Arm(ce()),
    'ce-if0.25': Arm(ce(class_weight=root(0.25))),
    'ce-if0.5': Arm(ce(class_weight=root(0.5))),
    'ce-if0.75': Arm(ce(class_weight=root(0.75))),
    'ce-if1': Arm(ce(class_weight=root(1.0))),
    'ce-median': Arm(ce(class_weight=weight('MedianFrequency'))),
    'ce-log': Arm(ce(class_weight=weight('LogFrequency'))),
    'ce-effective': Arm(ce(class_weight=weight('EffectiveNumber'))),
    'la0.25': Arm(loss('LogitAdjustmentLoss', stats=STATS, tau=0.25)),
    'la0.5': Arm(loss('LogitAdjustmentLoss', stats=STATS, tau=0.5)),
    'la1': Arm(loss('LogitAdjustmentLoss', stats=STATS, tau=1.0)),
    'vs': Arm(loss('VSLoss', stats=STATS)),
    'ce-lovasz0.2': Arm([ce(loss_weight=0.8), loss('LovaszLoss', loss_weight=0.2)]),
    'ce-lovasz0.5': Arm([ce(loss_weight=0.5), loss('LovaszLoss', loss_weight=0.5)]),
    'ce-if0.5-lovasz0.5': Arm([ce(loss_weight=0.5, class_weight=root()), loss('LovaszLoss', loss_weight=0.5)]),
    'ce-dice0.5': Arm([ce(loss_weight=0.5), loss('DiceLoss', loss_weight=0.5)]),
    'ce-tversky0.5': Arm([ce(loss_weight=0.5), loss('TverskyLoss', alpha=0.6, beta=0.4, loss_weight=0.5)]),
    'ce-if0.5-dice0.5': Arm([ce(loss_weight=0.5, class_weight=root()), loss('DiceLoss', loss_weight=0.5)]),
    'focal': Arm(loss('FocalLoss')),
    'complement': Arm(loss('ComplementCrossEntropyLoss')),
    'ldam-drw': Arm(loss('LDAMLoss', stats=STATS, class_weight={
        'type': 'mmimb.Deferred', 'weight': weight('EffectiveNumber'), 'begin': 0.8}), classifier='cosine'),
    'elm': Arm(loss('ELMLoss', stats=STATS), classifier='cosine'),
    'distribution-balanced': Arm(loss('DistributionBalancedLoss', stats=STATS)),
    'mse': Arm(loss('OutlyingMSELoss', stats=STATS)),
    'mse-if0.5': Arm(loss('OutlyingMSELoss', stats=STATS, class_weight=root())),
    'mse-ce0.5': Arm([loss('OutlyingMSELoss', stats=STATS, loss_weight=0.5), ce(loss_weight=0.5)]),
    'mse-alpha0.5': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=0.5)),
    'mse-log': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=0.5, label='log')),
    'mse-uniform': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=1.0, label='uniform')),
    'mse-uniform-k15': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=1.0, label='uniform', label_weight=15.0)),
    'mse-uniform-k50': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=1.0, label='uniform', label_weight=50.0)),
    'mse-uniform-k15-a10': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=10.0, label='uniform', label_weight=15.0)),
    'mse-k15': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=0.2, label_weight=15.0)),
    'mse-log-k15': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=0.5, label='log', label_weight=15.0)),
    'mse-sqrt-k15': Arm(loss('OutlyingMSELoss', stats=STATS, alpha=0.2, label='sqrt', label_weight=15.0)),
    'mse-lr4': Arm(loss('OutlyingMSELoss', stats=STATS), lr=4.0),
    'difficulty': Arm(ce(class_weight=difficulty(max_ratio=None)), difficulty=MEASURED),
    'difficulty-tau1': Arm(ce(class_weight=difficulty(tau=1, max_ratio=None)), difficulty=MEASURED),
    'difficulty-tau0.5': Arm(ce(class_weight=difficulty(tau=0.5, max_ratio=None)), difficulty=MEASURED),
    'difficulty-cap10': Arm(ce(class_weight=difficulty(max_ratio=10.0)), difficulty=MEASURED),
    'difficulty-cap5': Arm(ce(class_weight=difficulty(max_ratio=5.0)), difficulty=MEASURED),
    'difficulty-f1': Arm(ce(class_weight=difficulty(measure='f1', max_ratio=None)), difficulty=MEASURED),
    'difficulty-iou-cap10': Arm(ce(class_weight=difficulty(measure='iou', max_ratio=10.0)), difficulty=MEASURED),
    'difficulty-cap30': Arm(ce(class_weight=difficulty(max_ratio=30.0)), difficulty=MEASURED),
    'difficulty-iou': Arm(ce(class_weight=difficulty(measure='iou', max_ratio=None)), difficulty=MEASURED),
    'ce-rcs0.01': Arm(ce(), sampler=0.01),
    'ce-rcs0.1': Arm(ce(), sampler=0.1),
    'ce-rcs1': Arm(ce(), sampler=1.0),
    'ce-if0.5-cap10': Arm(ce(class_weight=root(max_ratio=10.0))),
    'ce-if0.25-rcs0.1': Arm(ce(class_weight=root(0.25)), sampler=0.1),
    'ce-if0.5-rcs0.1': Arm(ce(class_weight=root()), sampler=0.1),
}
