"""The arg-max from low-resolution logits: the classes of ``F.interpolate(...).argmax(1)``, but where rounding decides."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.largest import Largest
from support.upsampling import SIZES, blend
from torch import Tensor

from mmimb.functional import argmax, first_largest
from mmimb.functional.argmax import resized_argmax
from mmimb.functional.resizing import Resizing

CASES = 500
ALL = slice(None)


def smooth(size: tuple[int, ...], generator: torch.Generator, cells: int = 5) -> Tensor:
    """Return logits as of a trained network: regions in which one class is ahead, the rest far behind."""
    field = F.interpolate(torch.randn(*size[:2], cells, cells, generator=generator), size[2:], mode='bicubic')
    return 8 * field + 0.1 * torch.randn(size, generator=generator)


def matrices(resizing: Resizing, low: tuple[int, int]) -> list[np.ndarray]:
    """Return the float64 ``(samples, points)`` weights of both axes, from the definition of linear interpolation."""
    weights = []
    for axis in (0, 1):
        weight = blend(low[axis], resizing.size[axis], resizing.align_corners)
        weight = weight if resizing.cut is None else weight[slice(*resizing.cut[axis])]
        weight = weight[::-1] if axis + 2 in resizing.flip else weight
        if resizing.then is not None:
            weight = blend(len(weight), resizing.then[axis], resizing.align_corners) @ weight
        weights.append(weight)
    return weights


def race(logits: Tensor, resizing: Resizing, winner: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pixel the lead of the largest class, and how far ``winner`` lies behind, both in ulp.

    An ulp is one of the largest magnitude among the points around the pixel, in the dtype of the logits.
    """
    rows, columns = matrices(resizing, (logits.shape[2], logits.shape[3]))
    z = np.einsum('yh,nchw,xw->ncyx', rows, logits.double().numpy(), columns, optimize=True)
    largest = np.abs(logits.double().numpy()).max(1)  # (n, h, w)
    largest = np.where(rows[None, :, :, None] > 0, largest[:, None], 0).max(2)
    largest = np.where(columns[None, None] > 0, largest[:, :, None], 0).max(3)
    bits = {torch.float16: 10, torch.bfloat16: 7, torch.float32: 23, torch.float64: 52}[logits.dtype]
    ulp = 2.0 ** (np.floor(np.log2(np.maximum(largest, 1e-30))) - bits)
    order = np.sort(z, 1)
    behind = order[:, -1] - np.take_along_axis(z, winner.numpy()[:, None], 1)[:, 0]
    return (order[:, -1] - order[:, -2]) / ulp, behind / ulp


def number(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def random_case(seed: int) -> tuple[Tensor, Resizing]:
    """Return logits and one resizing: any ratio, odd sizes, one point, labels smaller than logits."""
    g = torch.Generator().manual_seed(seed)
    size = (number(g, 1, 2), number(g, 2, 24), number(g, 1, 20), number(g, 1, 20))
    logits = smooth(size, g) if seed % 2 else (1 + number(g, 0, 30)) * torch.randn(size, generator=g)
    if seed % 5 == 0:
        logits = logits.to(memory_format=torch.channels_last)
    return logits, Resizing((number(g, 1, 90), number(g, 1, 90)), seed % 4 < 2)


def random_chain(seed: int) -> tuple[Tensor, Resizing]:
    """Return logits and two resizings with a cut and flips between them."""
    logits, one = random_case(seed)
    g = torch.Generator().manual_seed(seed)
    cut = tuple((number(g, 0, size // 4), size - number(g, 0, size // 4)) for size in one.size)
    flip = ((), (2,), (3,), (2, 3))[number(g, 0, 3)]
    kept = [stop - start for start, stop in cut]
    then = tuple(kept) if seed % 7 == 0 else (number(g, 1, 90), number(g, 1, 90))
    return logits, Resizing(one.size, one.align_corners, (cut[0], cut[1]), flip, (then[0], then[1]))


@pytest.mark.parametrize('make', [random_case, random_chain])
def test_random_cases(make: Any) -> None:
    """A clear lead decides as in ``F.interpolate``; without one, the class is as good as the best up to rounding."""
    close = pixels = 0
    for seed in range(CASES):
        logits, resizing = make(seed)
        bound = 8 * resizing.rounds
        got, want = resized_argmax(logits, resizing), resizing(logits).argmax(1)
        lead, behind = race(logits, resizing, got)
        clear = lead > bound
        assert np.array_equal(got.numpy()[clear], want.numpy()[clear]), seed
        assert not (behind[~clear] > bound).any(), seed
        close, pixels = close + int((~clear).sum()), pixels + clear.size
    assert close < 1e-4 * pixels


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('small', 'large'), [(33, 77), (97, 1001), (300, 200), (750, 3001), (1, 5), (128, 512)])
def test_weights_are_rounded_as_in_stock(small: int, large: int, align_corners: bool) -> None:
    """To the last bit: what is interpolated between 0 and 1 is a weight."""
    logits = (torch.arange(small) % 2).float().view(1, 1, 1, small)
    taps = Resizing((1, large), align_corners).axis(3, small, torch.float32)
    points = taps.first.view(-1, 1) + torch.arange(taps.weight.shape[1])
    got = (logits[0, 0, 0][points] * taps.weight.float()).sum(1)
    assert torch.equal(got, Resizing((1, large), align_corners)(logits)[0, 0, 0])


@pytest.mark.parametrize('align_corners', [False, True])
def test_logits_of_a_trained_network(align_corners: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to no race is close, and few classes are interpolated."""
    logits = smooth((1, 60, 128, 128), torch.Generator().manual_seed(0), cells=9)
    resizing = Resizing((512, 512), align_corners)
    interpolated = []
    original = argmax._first_largest
    monkeypatch.setattr(argmax, '_first_largest', lambda values: interpolated.append(values.shape) or original(values))
    got = resized_argmax(logits, resizing)
    lead, behind = race(logits, resizing, got)
    assert (lead <= 8).sum() < 5
    assert np.array_equal(got.numpy()[lead > 8], resizing(logits).argmax(1).numpy()[lead > 8])
    assert not (behind[lead <= 8] > 8).any()
    assert sum(map(math.prod, interpolated)) < 0.35 * 60 * 512**2


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('low', 'high'), SIZES)
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes(low: tuple[int, int], high: tuple[int, int], align_corners: bool, dtype: torch.dtype) -> None:
    logits = torch.randn(2, 21, *low, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    resizing = Resizing(high, align_corners)
    got, want = resized_argmax(logits, resizing), resizing(logits).argmax(1)
    lead, behind = race(logits, resizing, got)
    assert np.array_equal(got.numpy()[lead > 8], want.numpy()[lead > 8])
    assert not (behind > (8 if dtype == torch.float64 else 0.01)).any()  # half precision is interpolated in float32
    assert got.dtype == torch.int64


def test_equal_classes_count_for_the_first() -> None:
    logits = torch.zeros(1, 7, 5, 6)
    assert not resized_argmax(logits, Resizing((20, 24))).any()
    logits[:, [3, 5]] = 1.0
    assert (resized_argmax(logits, Resizing((20, 24))) == 3).all()
    assert not resized_argmax(torch.randn(1, 1, 5, 6), Resizing((20, 24))).any()


@pytest.mark.parametrize('size', [1e-44, 1e-38, 1e-36, 1e-30, 1.0, 1e37])
def test_index_of_the_largest(size: float) -> None:
    """Also where differences are the smallest numbers that there are."""
    values = torch.randint(-9, 9, (3, 40, 7), generator=torch.Generator().manual_seed(0)).float() * size
    assert torch.equal(argmax._first_largest(values.clone()), values.argmax(1))


@pytest.mark.parametrize('value', [torch.inf, -torch.inf, torch.nan])
def test_an_image_that_is_not_finite_is_as_in_stock(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(argmax.PIECE, 'cpu', 5 * 32 * 48)
    original, seen = argmax._by_pieces, []
    monkeypatch.setattr(argmax, '_by_pieces', lambda logits, how: seen.append(len(logits)) or original(logits, how))
    logits = torch.randn(3, 21, 8, 12, generator=torch.Generator().manual_seed(0))
    logits[1, 17, 3, 4] = logits[1, 2, 6, 6] = value
    resizing = Resizing((32, 48))
    assert torch.equal(resized_argmax(logits, resizing), resizing(logits).argmax(1))
    assert seen == [1]


def test_classes_are_left_out_only_beyond_rounding() -> None:
    """A class that is behind by less than rounding stays in the race, and the first of equals wins it."""
    logits = torch.full((1, 3, 4, 4), -50.0)
    logits[:, 1], logits[:, 2] = 7.0, torch.nextafter(torch.tensor(7.0), torch.tensor(8.0))
    low = logits[0]
    assert (low - (argmax._bound(low, 2, 2) - 8 * 50 * torch.finfo(torch.float32).eps) >= 0).amax((1, 2)).tolist() == [
        False, True, True]


@pytest.mark.parametrize('taps', [(1, 1), (2, 2), (3, 2), (4, 4)])
def test_no_class_below_the_bound_wins(taps: tuple[int, int]) -> None:
    """The bound of a point is at most the largest value that any mean over a window around it takes."""
    g = torch.Generator().manual_seed(0)
    low = torch.randn(6, 9, 8, generator=g)
    bound = argmax._bound(low, *taps)
    for y in range(9 - taps[0] + 1):
        for x in range(8 - taps[1] + 1):
            window = (slice(y, y + taps[0]), slice(x, x + taps[1]))
            weight = torch.rand(50, *taps, generator=g)
            weight /= weight.sum((1, 2), keepdim=True)
            largest = torch.einsum('chw,khw->kc', low[(ALL, *window)], weight).amax(1)
            assert (torch.einsum('hw,khw->k', bound[window], weight) <= largest + 1e-6).all()


def test_no_tensor_of_full_resolution() -> None:
    for logits in (torch.randn(1, 64, 32, 32), smooth((1, 64, 32, 32), torch.Generator().manual_seed(0))):
        with Largest() as largest:
            resized_argmax(logits, Resizing((256, 256)))
        assert largest.size <= 64 * argmax.TILE**2


@pytest.mark.parametrize('change', ['strided', 'channels last', 'gradient', 'inference', 'deterministic', 'autocast',
                                    'other device', 'coarse products'])
def test_circumstances_change_nothing(change: str) -> None:
    logits = torch.randn(2, 21, 30, 40, generator=torch.Generator().manual_seed(0))
    resizing = Resizing((100, 160))
    want = resized_argmax(logits, resizing)
    if change == 'strided':
        got = resized_argmax(torch.stack([logits, logits], 4)[..., 1], resizing)
    elif change == 'channels last':
        got = resized_argmax(logits.to(memory_format=torch.channels_last), resizing)
    elif change == 'gradient':
        got = resized_argmax(logits.clone().requires_grad_(), resizing)
    elif change == 'inference':
        with torch.inference_mode():
            got = resized_argmax(logits.clone(), resizing)
    elif change == 'deterministic':
        torch.use_deterministic_algorithms(True)
        try:
            got = resized_argmax(logits, resizing)
        finally:
            torch.use_deterministic_algorithms(False)
    elif change == 'autocast':
        with torch.autocast('cpu', torch.bfloat16):
            got = resized_argmax(logits, resizing)
    elif change == 'other device':
        with torch.device('meta'):
            got = resized_argmax(logits, resizing)
    else:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision('medium')
        try:
            got = resized_argmax(logits, resizing)
        finally:
            torch.set_float32_matmul_precision(before)
    assert torch.equal(got, want)
    assert not got.requires_grad


class Predict(torch.nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return resized_argmax(logits, Resizing((20, 31)))


def test_compiled_and_exported_code_is_stock() -> None:
    logits = torch.randn(2, 5, 6, 7)
    want = resized_argmax(logits, Resizing((20, 31)))
    exported = torch.export.export(Predict(), (logits,))
    names = [str(node.target) for node in exported.graph.nodes]
    assert any('upsample_bilinear2d' in name for name in names)
    assert any('argmax' in name for name in names)
    assert torch.equal(exported.module()(logits), want)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(Predict(), backend='aot_eager', fullgraph=True)(logits), want)


def test_pieces_are_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other devices do."""
    monkeypatch.setitem(argmax.PIECE, 'cpu', 1)
    for seed in range(20):
        logits, resizing = random_chain(seed)
        assert torch.equal(argmax._by_pieces(logits, resizing), resizing(logits).argmax(1)), seed
    assert not argmax._by_pieces(torch.ones(1, 5, 4, 4), Resizing((9, 9))).any()


def test_no_host_sync_off_the_cpu() -> None:
    """A meta tensor under FakeTensorMode pretends to be another device: reading a value back to the host raises."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    with FakeTensorMode():
        logits = torch.zeros(2, 21, 8, 8, device='cuda' if torch.cuda.is_available() else 'meta')
        winner = resized_argmax(logits, Resizing((32, 40), then=(30, 30)))
        assert winner.shape == (2, 30, 30)
        assert winner.device.type == logits.device.type


@pytest.mark.parametrize('size', [(2, 1, 3), (3, 7, 50), (2, 19, 9, 8), (2, 5, 4, 3, 2), (0, 4, 3)])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_first_largest_channel_is_argmax_with_ties_and_infinite_scores(size: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-2, 3, size, generator=generator).to(dtype)  # many ties
    scores = torch.where(torch.rand(size, generator=generator) < 0.2, -torch.inf, scores).requires_grad_()
    views = (scores, scores.movedim(1, -1).contiguous().movedim(-1, 1))  # the second: channels last
    assert all(torch.equal(first_largest(view), scores.argmax(1)) for view in views)


def test_the_first_largest_channel_of_a_nan_is_a_valid_one() -> None:
    assert first_largest(torch.tensor([[[1.0], [math.nan]]])).tolist() == [[0]]
