from .plain_checkpoint import PlainCheckpointHook
from .preemption import PreemptionHook

__all__ = ['PlainCheckpointHook', 'PreemptionHook']
