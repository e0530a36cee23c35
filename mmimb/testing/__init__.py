"""The contract of a loss: questions that any registered loss can be asked (``python -m mmimb.testing TYPE``)."""
from .contract import Answer, ask, check_loss
from .tested_loss import Subject

__all__ = ['Answer', 'Subject', 'ask', 'check_loss']
