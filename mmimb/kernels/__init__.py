"""Triton kernels for sums of pixel losses over bilinearly up-sampled logits, with their gradients, on NVIDIA GPUs.

``upsampled_NAME(logits, target, coefficient, *, align_corners, **arguments)`` is the kernel of ``FORMULAS[NAME]``, which is a
function of :mod:`mmimb.functional`, and has its arguments. It returns the sum of coefficient times loss over the output pixels.

    logits: ``(N, C, h, w)`` scores at any resolution; the only input with a gradient.
    target: ``(N, H, W)`` labels; any numbers where the coefficient is 0.
    coefficient: ``(N, H, W)`` factors of the losses.

``resized_argmax`` is :func:`mmimb.functional.argmax.resized_argmax`.

Importable where Triton is; ``TRITON_INTERPRET=1`` in the environment, before the import, runs them on the CPU for tests.
"""
from .argmax import resized_argmax
from .cross_entropy import upsampled_cross_entropy
from .elementwise import upsampled_binary_cross_entropy, upsampled_squared_error
from .prepare import FORMULAS, supports

__all__ = ['FORMULAS', 'resized_argmax', 'supports', 'upsampled_binary_cross_entropy', 'upsampled_cross_entropy',
           'upsampled_squared_error']
