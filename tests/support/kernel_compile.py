"""Compile what the kernels would launch, for GPUs that are not here.

``python tests/support/kernel_compile.py`` prints a row per binary.

The real host code runs on shapes without data; where it would launch a kernel, the kernel is compiled for the targets instead.
"""
from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from mmimb import kernels
from mmimb.functional.resizing import Resizing

TARGETS = (80, 90)
TOOL = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
POINTERS = {torch.float32: '*fp32', torch.float16: '*fp16', torch.bfloat16: '*bf16', torch.int64: '*i64', torch.int32: '*i32'}
launches: dict[str, tuple[ASTSource, int, bool]] = {}


def record(kernel: JITFunction, *args, **options) -> None:
    """Take the place of a launch: note the kernel as specialised for its arguments, by Triton's rules."""
    names = [parameter.name for parameter in kernel.params]
    given = dict(zip(names, args, strict=False), **{name: options[name] for name in names if name in options})
    signature, constants, hints = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[parameter.name], constants[place,] = 'constexpr', value
        elif isinstance(value, float):
            signature[parameter.name] = 'fp32'
        else:
            number = 'i32' if isinstance(value, Tensor) or value < 2**31 else 'i64'
            signature[parameter.name] = POINTERS[value.dtype] if isinstance(value, Tensor) else number
            if isinstance(value, Tensor) or value % 16 == 0:
                hints[place,] = [['tt.divisibility', 16]]
    key = str((kernel.__name__, signature, constants, options['num_warps']))
    launches[key] = ASTSource(kernel, signature, constants, hints), options['num_warps'], options['WIDE']


def call(formula: str, full: bool, size: tuple[int, ...], dtype: torch.dtype) -> None:
    """Forward and backward of a formula on logits and labels that have a shape only."""
    n, channels, h, w, height, width = size
    logits = torch.empty(n, channels, h, w, dtype=dtype, device='meta', requires_grad=True)
    target = torch.empty(n, height, width, dtype=torch.long, device='meta')
    vector = torch.empty(channels, device='meta')
    options = {
        'cross_entropy': dict(scale=vector, bias=vector, margin=vector, relief=vector, gamma=2.0, complement=-1.0),
        'squared_error': dict(labels=vector, label_weight=3.0),
        'binary_cross_entropy': dict(bias=vector, lam=2.0, gamma=2.0, factor=torch.empty(n, channels, device='meta'),
                                     table=torch.empty(channels, channels, device='meta')),
    }[formula]
    if not full:
        options = {name: value for name, value in options.items() if name == 'labels'}
    getattr(kernels, f'upsampled_{formula}')(logits, target, torch.empty(target.shape, device='meta'), **options).backward()


def resources(cubin: bytes) -> str:
    """What the tool says of registers and stack; a stack means registers that did not fit."""
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([TOOL, '-res-usage', file.name], capture_output=True, text=True, check=True).stdout


def main() -> None:
    JITFunction.run = record
    kernels.prepare.supports = lambda formula, logits: None  # shapes without data are on no device
    ade, eightfold, same = (4, 150, 128, 128, 512, 512), (2, 33, 70, 65, 560, 520), (8, 171, 64, 64, 64, 64)
    for formula in kernels.FORMULAS:
        call(formula, False, ade, torch.float32)
        call(formula, True, ade, torch.bfloat16)
        call(formula, True, same, torch.float16)
    call('cross_entropy', False, (2, 19, 128, 256, 256, 512), torch.float16)
    call('cross_entropy', False, eightfold, torch.float32)
    call('cross_entropy', False, same, torch.float32)
    call('cross_entropy', False, (1, 1024, 2048, 2048, 2048, 2048), torch.bfloat16)  # places of 64 bits
    call('cross_entropy', False, (1, 1024, 1024, 2100, 2048, 4200), torch.bfloat16)
    call('cross_entropy', False, (2, 21, 16, 16, 512, 512), torch.float32)
    call('squared_error', False, (2, 21, 1, 1, 512, 512), torch.float32)
    call('binary_cross_entropy', False, (2, 1, 32, 32, 1, 128), torch.float32)
    for size, resizing in ((ade, Resizing((512, 512))), (ade, Resizing((512, 512), then=(600, 700))),
                           ((1, 1024, 2048, 2048), Resizing((2048, 4096)))):
        kernels.resized_argmax(torch.empty(size[:4], dtype=torch.bfloat16, device='meta'), resizing)
    for source, warps, wide in launches.values():
        for target in TARGETS:
            binary = triton.compile(source, target=GPUTarget('cuda', target, 32), options={'num_warps': warps})
            row = dict(kernel=source.fn.__name__, target=target, shared=binary.metadata.shared, wide=wide,
                       ptx=binary.asm['ptx'], resources=resources(binary.asm['cubin']) if TOOL.is_file() else '')
            print(json.dumps(row), flush=True)


if __name__ == '__main__':
    main()
