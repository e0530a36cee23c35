"""The arg-max kernel against mmseg's way, in the interpreter or on a GPU (see test_kernels.py)."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from test_argmax import race, random_case, random_chain

from mmimb import kernels
from mmimb.dispatch import class_map
from mmimb.functional.resizing import Resizing
from support.kernel_cases import DEVICE, SIZES, inputs


@pytest.mark.parametrize('make', [random_case, random_chain])
@pytest.mark.parametrize('seed', range(6))
def test_random_cases(make, seed) -> None:
    logits, resizing = make(seed)
    got, want = kernels.resized_argmax(logits.to(DEVICE), resizing).cpu(), resizing(logits).argmax(1)
    lead, behind = race(logits, resizing, got)
    clear = lead > 8 * resizing.rounds
    assert got.dtype == torch.int64
    assert np.array_equal(got.numpy()[clear], want.numpy()[clear])
    assert not (behind[~clear] > 8 * resizing.rounds).any()


@pytest.mark.parametrize('layout', ['channels_last', 'sliced'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', ['4', '2.5', '0.5', 'same', 'point'])
def test_dtypes_and_layouts(size, dtype, layout) -> None:
    logits = inputs(size, 18, dtype=dtype, layout=layout)[0]
    resizing = Resizing(SIZES[size][1])
    got = kernels.resized_argmax(logits, resizing)
    lead, behind = race(logits.float().cpu(), resizing, got.cpu())
    want = resizing(logits.float()).argmax(1)
    assert np.array_equal(got.cpu().numpy()[lead > 8], want.cpu().numpy()[lead > 8])
    assert not (behind > 8).any()


def test_equal_classes_count_for_the_first_and_what_is_no_number_for_the_largest() -> None:
    logits = torch.zeros(1, 40, 4, 4, device=DEVICE)
    assert not kernels.resized_argmax(logits, Resizing((9, 9))).any()
    logits[:, 33, 1, 1] = torch.nan
    resizing = Resizing((16, 16))
    assert torch.equal(kernels.resized_argmax(logits, resizing), resizing(logits).argmax(1))


def test_64_bit_places_change_nothing(monkeypatch) -> None:
    logits = inputs('2.5', 18)[0]
    resizing = Resizing(SIZES['2.5'][1])
    want = kernels.resized_argmax(logits, resizing)
    monkeypatch.setattr('mmimb.kernels.argmax.PLACES', 0)
    assert torch.equal(kernels.resized_argmax(logits, resizing), want)


def test_the_head_uses_it_on_a_gpu(monkeypatch) -> None:
    if DEVICE != 'cuda':
        class OnGpu:
            device = torch.device('cuda')
        monkeypatch.setattr(kernels, 'resized_argmax', lambda logits, resizing: 'the kernel')
        monkeypatch.setattr(kernels, 'supports', lambda formula, logits: None)
        assert class_map(OnGpu(), Resizing((4, 4))) == 'the kernel'
    else:
        logits = inputs('4', 18)[0]
        assert torch.equal(class_map(logits, Resizing(SIZES['4'][1])), kernels.resized_argmax(logits, Resizing(SIZES['4'][1])))
