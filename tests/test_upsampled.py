"""The up-sampled losses by their definition: against numpy, one pixel at a time."""
from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, PIXELS, Case
from mmengine.registry import MODELS as ROOT
from support.upsampling import SIZES, blend, interpolate, problem
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.testing import assert_close

from mmimb import functional
from mmimb.dispatch import MODES, Formula, Upsample
from mmimb.functional import strips, upsampled
from mmimb.functional.axes import matrix, support
from mmimb.functional.walk_cells import cells
from mmimb.losses import CrossEntropyLoss, PixelLoss
from mmimb.testing.tested_loss import IGNORE

MAPS = [case for case in CASES if case.has_map]
FULL = ('OhemCrossEntropyLoss', )  # a value per pixel, and yet no plain sum


@pytest.mark.parametrize('case', MAPS, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('mode', [mode for mode in MODES if mode != 'fused'])
def test_losses_are_the_oracle_of_the_interpolated_logits(case: Case, align_corners: bool, mode: str) -> None:
    if mode == 'strip' and str(case) in FULL:
        pytest.skip('chooses among all pixels')
    logits, target, _ = problem((3, 4), (7, 10))
    expected = case.oracle(interpolate(logits.numpy(), (7, 10), align_corners), target.numpy())
    loss = ROOT.build(dict(case.cfg, reduction='sum'))
    got = loss(logits, target, ignore_index=IGNORE, upsample=Upsample(mode, align_corners))
    np.testing.assert_allclose(float(got), expected.sum(), rtol=1e-9)


@pytest.mark.parametrize('case', MAPS, ids=str)
@pytest.mark.parametrize('common', [dict(), dict(class_weight=[0.5, 2.0, 1.0, 3.0]), dict(normalize='weights', loss_weight=0.3),
                                    dict(class_weight=[0.5, 2.0, 1.0, 3.0], normalize='weights'), dict(reduction='sum')],
                         ids=lambda common: '-'.join(common) or 'plain')
def test_arguments_mean_the_same_as_on_full_logits(case: Case, common: dict) -> None:
    logits, target, weight = problem((4, 5), (9, 12))
    loss = ROOT.build({**case.cfg, **common})
    more: list[dict[str, Any]] = [dict(), dict(weight=weight)]
    more += [] if 'reduction' in common else [dict(avg_factor=7.0), dict(avg_factor=torch.tensor(7.0), weight=weight)]
    for extra in more:
        low = logits.clone().requires_grad_()
        got = loss(low, target, ignore_index=IGNORE, upsample=Upsample(), **extra)
        want = loss(upsampled.upsample(low, target.shape[1:]), target, ignore_index=IGNORE, **extra)
        assert_close(got, want, rtol=1e-6, atol=0)  # an average factor is a float32 number to some losses
        slopes = [torch.autograd.grad(value, low)[0] for value in (got, want)]
        assert_close(*slopes, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_an_ignored_batch_is_exactly_zero(case: Case) -> None:
    logits, target, _ = problem((4, 5), (9, 12))
    low = logits.float().requires_grad_()
    value = ROOT.build(dict(case.cfg))(low, torch.full_like(target, IGNORE), ignore_index=IGNORE, upsample=Upsample())
    value.backward()
    assert value == 0
    assert torch.equal(low.grad, torch.zeros_like(low))


def test_other_shapes_and_labels_are_refused() -> None:
    logits, target, weight = problem((4, 5), (9, 12))
    loss = CrossEntropyLoss()
    with pytest.raises(ValueError, match=r'`target` must have the shape of|`target` must have the shape \(N, \*\)'):
        loss(logits, target)
    for wrong in (target[:1], target.flatten(1)):
        with pytest.raises(ValueError, match=r'must have the shape \(N, H, W\) for \(N, C, h, w\) logits'):
            loss(logits, wrong, upsample=Upsample())
    for wrong in (weight[:1], weight.unsqueeze(1), weight[..., 0]):
        with pytest.raises(ValueError, match=r'`weight` must have the shape \(2, 9, 12\) of the pixels, got '):
            loss(logits, target, wrong, upsample=Upsample())
    for empty in ((logits[:, :, :0], target), (logits, target[:, :0])):
        with pytest.raises(ValueError, match='`logits` and `target` must not be empty'):
            loss(*empty, upsample=Upsample())
    with pytest.raises(ValueError, match=r"`upsample` must be one of .* got 'quick'"):
        Upsample('quick')
    with pytest.raises(ValueError, match=r"'auto' or 'stock' for CrossEntropyLoss .*a value per pixel.*got 'strip'"):
        loss(logits, target, reduction_override='none', upsample=Upsample('strip'))
    target[0, 8, 11] = 4
    with pytest.raises(ValueError, match='got 4'):
        loss(logits, target, upsample=Upsample())


def test_a_map_and_a_gradient_of_the_weights_come_from_full_logits() -> None:
    logits, target, weight = problem((4, 5), (9, 12))
    loss = CrossEntropyLoss()
    full = upsampled.upsample(logits, target.shape[1:])
    assert torch.equal(loss(logits, target, reduction_override='none', upsample=Upsample()),
                       loss(full, target, reduction_override='none'))
    weight.requires_grad_()
    (slope,) = torch.autograd.grad(loss(logits, target, weight, upsample=Upsample()), weight)
    assert_close(slope, loss(full, target, reduction_override='none') / (target != IGNORE).sum())


class Steep(CrossEntropyLoss):
    """A derived loss that changes the value, not the formula."""

    def per_pixel(self, *args: Any) -> torch.Tensor:
        return super().per_pixel(*args).square()


class Own(PixelLoss):
    """A loss of a user who knows nothing of strips."""

    def per_pixel(self, logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor,
                  class_weight: torch.Tensor | None) -> torch.Tensor:
        loss = logits.logsumexp(1).square() + logits.gather(1, target.unsqueeze(1)).squeeze(1)
        return loss if class_weight is None else class_weight[target] * loss


class Ranked(Own):
    def select(self, logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return valid & (target > 0)


@pytest.mark.parametrize('kind', [Steep, Own])
def test_any_pixel_loss_goes_by_strips(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target, weight = problem((4, 5), (9, 12))
    loss = kind(class_weight=[0.5, 2.0, 1.0, 3.0])
    assert loss.obstacle == ''
    want = loss(upsampled.upsample(logits, target.shape[1:]), target, weight)
    monkeypatch.setattr('mmimb.losses.pixel.PixelLoss.value', None)  # full logits would need it
    assert_close(loss(logits, target, weight, upsample=Upsample('strip')), want)


class Learning(Own):
    """A loss with a temperature that is learnt."""

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.temperature = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def per_pixel(self, logits: torch.Tensor, *args: Any) -> torch.Tensor:
        return super().per_pixel(self.temperature * logits, *args)


class Declared(PixelLoss):
    """A loss of a user as a formula of the user's own function, with a row for each image."""

    def formula(self, logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor,
                class_weight: torch.Tensor | None) -> Formula:
        share = valid.flatten(1).to(torch.float64).mean(1)
        return Formula(declared, {'power': 2.0}, 0.5, {'share': share, 'absent': None})


def declared(logits: torch.Tensor, target: torch.Tensor, *, power: float, share: torch.Tensor,
             absent: torch.Tensor | None) -> torch.Tensor:
    assert absent is None
    loss = logits.logsumexp(1) - logits.gather(1, target.unsqueeze(1)).squeeze(1)
    return loss.pow(power) * share.view(-1, *(1,) * (loss.ndim - 1))


def test_a_formula_of_an_own_function_goes_by_strips_and_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(strips.STRIP, 'cpu', 1 << 7)
    logits, target, weight = problem((4, 5), (9, 12))
    target[1, :4] = IGNORE
    loss = Declared(class_weight=[0.5, 2.0, 1.0, 3.0])
    low = logits.clone().requires_grad_()
    got, want = (loss(z, target, weight, **how) for z, how in (
        (low, dict(upsample=Upsample('strip'))), (upsampled.upsample(low, target.shape[1:]), {})))
    assert_close(got, want)
    assert_close(*(torch.autograd.grad(value, low)[0] for value in (got, want)))
    valid = target != IGNORE
    z, label = upsampled.upsample(logits, target.shape[1:]), target.masked_fill(~valid, 0)
    by_hand = 0.5 * torch.nn.functional.cross_entropy(z, label, reduction='none')**2
    by_hand = by_hand * valid.double().mean((1, 2)).view(-1, 1, 1) * torch.tensor([0.5, 2.0, 1.0, 3.0])[label] * weight
    assert_close(got.detach(), (by_hand * valid).sum() / valid.sum())
    with pytest.raises(ValueError, match=r"`upsample` must be 'strip', 'stock' or 'auto' here .*got 'fused'"):
        loss(logits, target, upsample=Upsample('fused'))


def test_a_loss_with_both_is_its_per_pixel() -> None:
    class Both(Declared):
        def per_pixel(self, logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor,
                      class_weight: torch.Tensor | None) -> torch.Tensor:
            return logits.square().sum(1)

    logits, target, _ = problem((4, 5), (9, 12))
    assert not Both().has_formula
    assert_close(Both()(logits, target, upsample=Upsample('strip')),
                 Both()(upsampled.upsample(logits, target.shape[1:]), target))


def test_a_formula_with_parameters_stays_with_full_logits() -> None:
    class Scaled(CrossEntropyLoss):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.full((4,), 2.0, dtype=torch.float64))

        def adjustment(self, logits: torch.Tensor) -> dict[str, Any]:
            return {'scale': self.scale}

    logits, target, _ = problem((4, 5), (9, 12))
    loss = Scaled()
    (slope,) = torch.autograd.grad(loss(logits, target, upsample=Upsample()), loss.scale)
    assert slope.any()
    assert loss.obstacle == 'it has parameters of its own'


def test_parameters_of_a_loss_are_learnt() -> None:
    logits, target, _ = problem((4, 5), (9, 12))
    loss = Learning()
    got, want = (torch.autograd.grad(value, loss.temperature) for value in (
        loss(logits, target, upsample=Upsample()), loss(upsampled.upsample(logits, target.shape[1:]), target)))
    assert_close(got, want)
    with pytest.raises(ValueError, match=r"'auto' or 'stock' for Learning \(it has parameters of its own\), got 'strip'"):
        loss(logits, target, upsample=Upsample('strip'))
    loss.temperature.requires_grad_(False)
    assert loss.obstacle == ''


@pytest.mark.parametrize('mode', ['stock', 'strip'])
@pytest.mark.parametrize('normalize', ['pixels', 'weights'])
def test_weights_of_ignored_pixels_do_not_matter(mode: str, normalize: str) -> None:
    logits, target, weight = problem((4, 5), (9, 12))
    loss, results = CrossEntropyLoss(normalize=normalize), []
    for ignored in (0.0, float('nan')):
        low = logits.clone().requires_grad_()
        value = loss(low, target, weight.masked_fill(target == IGNORE, ignored), upsample=Upsample(mode))
        results.append((value, *torch.autograd.grad(value, low)))
    assert_close(results[1], results[0])
    assert results[0][1].any()


def test_losses_that_need_all_pixels_say_why() -> None:
    assert Ranked().obstacle == 'it chooses among all pixels of the batch'
    assert Own(reduction='none').obstacle.startswith("reduction='none'")
    reasons = {str(case): ROOT.build(dict(case.cfg)).obstacle for case in CASES}
    counted = {'LovaszLoss', 'LovaszLoss-sigmoid'}  # their errors are counted in strips first
    assert {name for name, reason in reasons.items() if reason} == {*FULL, *(str(c) for c in CASES if not c.has_map)} - counted


def test_formulas_are_functions_of_the_package() -> None:
    logits, target, _ = problem((3, 3), (6, 6))
    names = set()
    for case in MAPS:
        formula: Formula = ROOT.build(dict(case.cfg)).formula(logits, target, target != IGNORE, None)
        names.add(formula.function.__name__)
        assert getattr(functional, formula.function.__name__) is formula.function
    assert len(names) == 3
    assert len(PIXELS) == logits.shape[1]


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('small', 'large'), [size for pair in SIZES for size in zip(*pair, strict=True)])
def test_axes(small: int, large: int, align_corners: bool) -> None:
    want = blend(small, large, align_corners)
    made = matrix(small, large, align_corners, torch.float64)
    np.testing.assert_allclose(np.eye(small) if made is None else made.numpy(), want, atol=1e-14)
    for start, stop in [(0, large), (large // 3, large // 3 + 1)]:
        first, last = support(small, large, align_corners, start, stop)
        assert not want[start:stop, :first].any()
        assert not want[start:stop, last:].any()
    parts = cells(small, large, align_corners, 3)
    assert parts.phases <= 3
    if parts.start is not None:  # the cells are a view of the samples
        order = parts.start + torch.arange(parts.sample.numel()).view(-1, parts.phases).T
        assert torch.equal(order[parts.counts > 0], parts.sample[parts.counts > 0])
    assert parts.start is not None or align_corners or large % small or (large // small > 3 and large // small % 3)
    counted = parts.sample[parts.counts > 0]
    assert sorted(counted.tolist()) == list(range(large))
    ends = torch.stack([parts.left, parts.left + 1]).clamp(0, small - 1)
    place = parts.offset + parts.step * torch.arange(parts.phases).double().view(-1, 1)
    for k, cell in zip(*np.nonzero(parts.counts.numpy()), strict=True):
        row = np.zeros(small)
        row[ends[0, cell]] += 1 - place[k, cell]
        row[ends[1, cell]] += place[k, cell]
        np.testing.assert_allclose(row, want[parts.sample[k, cell]], atol=1e-8)


def test_tables_of_fake_tensors_are_not_kept() -> None:
    with FakeTensorMode():
        assert type(matrix(11, 44, False, torch.float64)) is not torch.Tensor
        with suppress(DataDependentOutputException, DynamicOutputShapeException):
            cells(11, 44, False)
    assert type(matrix(11, 44, False, torch.float64)) is torch.Tensor
    assert type(cells(11, 44, False).left) is torch.Tensor
