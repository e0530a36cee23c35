"""What happens during training: class weights, plain checkpoints, preemption."""
from .class_weight import ClassWeightHook
from .plain_checkpoint import PlainCheckpointHook
from .preemption import PreemptionHook

__all__ = ['ClassWeightHook', 'PlainCheckpointHook', 'PreemptionHook']
