"""The contract that every loss of mmimb keeps, for any loss: ``python -m mmimb.testing TYPE``."""
from .contract import Answer, ask, check_loss
from .tested_loss import Subject

__all__ = ['Answer', 'Subject', 'ask', 'check_loss']
