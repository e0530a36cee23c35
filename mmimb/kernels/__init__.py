"""Triton twins of the up-sampled losses in :mod:`mmimb.functional`: same names, same arguments, on NVIDIA GPUs.

Importable where Triton is; ``TRITON_INTERPRET=1`` in the environment, before the import, runs them on the CPU for tests.
"""
from .cross_entropy import upsampled_cross_entropy
from .elementwise import upsampled_binary_cross_entropy, upsampled_squared_error
from .prepare import FORMULAS, supports

__all__ = ['FORMULAS', 'supports', 'upsampled_binary_cross_entropy', 'upsampled_cross_entropy', 'upsampled_squared_error']
