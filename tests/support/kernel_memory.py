"""Every address that the Triton kernels read and write, in the interpreter: what compute-sanitizer tells of a real GPU."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor
from triton.runtime import interpreter

from mmimb import kernels
from support.kernel_cases import FORMULAS, SIZES, both, chosen, inputs


class Launch:
    """The tensors of one start of a kernel, and the addresses that it writes to."""

    def __init__(self, tensors: list[Tensor]) -> None:
        held = {tensor.untyped_storage().data_ptr(): tensor for tensor in tensors}
        self.begins = np.array(sorted(held), np.uint64)
        self.tensors = [held[begin] for begin in sorted(held)]
        self.ends = self.begins + np.array([tensor.untyped_storage().nbytes() for tensor in self.tensors], np.uint64)
        self.written: dict[int, list[np.ndarray]] = {}

    def touch(self, pointers: Any, mask: Any) -> tuple[int, np.ndarray]:
        """Check that one instruction stays inside one tensor; return which, and the addresses."""
        size = np.uint64(max(pointers.get_element_ty().primitive_bitwidth // 8, 1))
        address = np.broadcast_to(pointers.data, mask.data.shape)[mask.data.astype(bool)]
        if not len(address):
            return -1, address
        place = np.searchsorted(self.begins, address, 'right') - 1
        assert place.min() == place.max() >= 0, 'an instruction leaves its tensor'
        assert (address + size <= self.ends[place[0]]).all(), 'an address lies behind its tensor'
        return int(place[0]), address


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    found: list[Launch] = []
    builder, executor = interpreter.InterpreterBuilder, interpreter.GridExecutor
    start, load, store = executor._init_args_hst, builder.create_masked_load, builder.create_masked_store

    def started(self, args, kwargs):
        host = start(self, args, kwargs)
        found.append(Launch([arg for arg in (*host[0], *host[1].values()) if isinstance(arg, Tensor)]))
        return host

    def loaded(self, pointers, mask, *rest):
        found[-1].touch(pointers, mask)
        return load(self, pointers, mask, *rest)

    def stored(self, pointers, value, mask, *rest):
        place, address = found[-1].touch(pointers, mask)
        if len(address):
            found[-1].written.setdefault(place, []).append(address)
        return store(self, pointers, value, mask, *rest)

    monkeypatch.setattr(executor, '_init_args_hst', started)
    monkeypatch.setattr(builder, 'create_masked_load', loaded)
    monkeypatch.setattr(builder, 'create_masked_store', stored)
    return found


@pytest.mark.parametrize('layout', ['plain', 'sliced'])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('formula', FORMULAS)
def test_inside_the_tensors_and_each_output_once(formula, size, layout, launches) -> None:
    """Nothing is read or written outside, no output is left empty, and none is written twice by whatever programs."""
    both(getattr(kernels, f'upsampled_{formula}'), *inputs(size, 18, layout=layout), **chosen(formula, 18, True))
    assert [len(launch.written) for launch in launches] == ([5, 1] if formula == 'cross_entropy' else [2])
    for launch in launches:
        for place, parts in launch.written.items():
            address = np.concatenate(parts)
            assert len(np.unique(address)) == len(address) == launch.tensors[place].numel()
