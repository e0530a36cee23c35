"""LossHead(upsample=...): the keys and values of mmseg's loss_by_feat, without full-resolution logits."""
from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cases import CASES, STATS, Case
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from support.head_cases import batch, build, head_cfg, inputs, one_thread, wrapped  # noqa: F401
from support.largest import Largest
from torch.testing import assert_close

from mmimb.dispatch import MODES, implementation
from mmimb.functional import strips

CE = dict(type='mmimb.CrossEntropyLoss')
DICE = dict(type='mmimb.DiceLoss')
MIXED = [CE, dict(type='CrossEntropyLoss', avg_non_ignore=True), DICE, dict(type='mmimb.FocalLoss'),
         dict(type='mmimb.LDAMLoss', stats=STATS, scale=1.0, loss_name='loss_focal')]


def results(cfg: dict, logits: torch.Tensor | None = None, side: int = 16) -> tuple[dict, list[torch.Tensor]]:
    """Return the loss dict of a head and the gradients of its parameters, or of the logits if these are given."""
    head = build(cfg)
    feats, samples = batch(side=side)
    if logits is None:
        losses = head.loss(*inputs('FCN', feats), samples, {})
        wanted = list(head.parameters())
    else:
        wanted = [logits.detach().requires_grad_()]
        losses = head.loss_by_feat(wanted[0], samples)
    total = sum(value for key, value in losses.items() if 'loss' in key)
    return losses, list(torch.autograd.grad(total, wanted))


def same(got: tuple[dict, list], want: tuple[dict, list]) -> None:
    assert list(got[0]) == list(want[0])
    for key, value in want[0].items():
        assert got[0][key].shape == value.shape, key
        assert_close(got[0][key], value, rtol=1e-5, atol=1e-7, msg=lambda text, key=key: f'{key}: {text}')
    for a, b in zip(got[1], want[1], strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('case', CASES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_every_loss_is_as_in_the_base_head(case: Case, align_corners: bool) -> None:
    cfg = head_cfg('FCN', {**case.cfg, 'class_weight': [1.0, 2.0, 0.5, 4.0], 'loss_weight': 0.5}, align_corners=align_corners)
    same(results(wrapped(cfg)), results(cfg))


def test_mixed_losses_share_one_up_sampling_and_add_up_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import mmseg.models.utils as utils
    want = results(head_cfg('FCN', MIXED))
    sizes = []
    original = utils.resize
    monkeypatch.setattr(utils, 'resize', lambda logits, **how: sizes.append(logits.device.type) or original(logits, **how))
    got = results(wrapped(head_cfg('FCN', MIXED)))
    same(got, want)
    assert sizes == ['cpu']
    assert list(got[0]) == ['loss_cross_entropy', 'loss_ce', 'loss_dice', 'loss_focal', 'acc_seg']


def test_no_tensor_of_full_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """With enough classes, nothing that is allocated holds as many numbers as the up-sampled logits."""
    monkeypatch.setattr('mmimb.functional.walk.STRIP', 1 << 12)
    monkeypatch.setitem(__import__('mmimb.functional.strips').functional.strips.STRIP, 'cpu', 1 << 12)
    full = 2 * 64 * 32 * 32
    for mode, loss in [('stock', CE), ('strip', CE), ('strip', dict(type='mmimb.BinaryCrossEntropyLoss'))]:
        head = build(wrapped(head_cfg('FCN', loss, num_classes=64), upsample=mode))
        logits = torch.randn(2, 64, 8, 8, requires_grad=True)
        with Largest() as largest:
            head.loss_by_feat(logits, batch()[1])[f'{head.loss_decode.loss_name}'].backward()
        assert (largest.size >= full) == (mode == 'stock'), (mode, largest.size)


@pytest.mark.parametrize(('classes', 'size'), [(4, (8, 8)), (19, (13, 9)), (5, (32, 32))])
def test_accuracy_is_exactly_that_of_the_base_head(classes: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, classes, *size)
    for align_corners in (False, True):
        cfg = head_cfg('FCN', CE, num_classes=classes, align_corners=align_corners)
        assert torch.equal(results(wrapped(cfg), logits)[0]['acc_seg'], results(cfg, logits)[0]['acc_seg'])


def test_a_head_that_ignores_no_label() -> None:
    logits = torch.randn(2, 4, 8, 8)
    cfg = head_cfg('FCN', CE, num_classes=4, ignore_index=None)
    (got, _), (want, _) = results(wrapped(cfg, upsample='strip'), logits), results(wrapped(cfg, upsample='stock'), logits)
    assert torch.equal(got['acc_seg'], want['acc_seg'])


@pytest.mark.parametrize('loss', [DICE, [CE, DICE], dict(type='CrossEntropyLoss')])
def test_accuracy_is_from_low_resolution_on_every_path(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmimb.heads.upsampled as upsampled
    seen = []
    original = upsampled.class_map
    monkeypatch.setattr(upsampled, 'class_map', lambda logits, how: seen.append(logits.shape[2:]) or original(logits, how))
    cfg = head_cfg('FCN', loss)
    same(results(wrapped(cfg)), results(cfg))
    assert seen == [(16, 16)]


def test_accuracy_does_not_wait_for_the_device() -> None:
    """A meta tensor under FakeTensorMode pretends to be another device: reading a value back to the host raises."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from mmimb.heads.upsampled import _accuracy, _winners
    head = build(wrapped(head_cfg('FCN', CE)))
    with FakeTensorMode():
        device = 'cuda' if torch.cuda.is_available() else 'meta'
        logits, label = torch.zeros(2, 4, 8, 8, device=device), torch.zeros(2, 32, 32, dtype=torch.long, device=device)
        for full in (None, torch.zeros(2, 4, 32, 32, device=device)):
            percent = _accuracy(_winners(logits, full, label, head), label, 255)
            assert percent.shape == (1, )
            assert percent.device.type == device


def test_classes_that_are_equal_count_for_the_first() -> None:
    losses, _ = results(wrapped(head_cfg('FCN', CE, num_classes=19)), torch.zeros(2, 19, 8, 8))
    label = torch.cat([sample.gt_sem_seg.data for sample in batch()[1]])
    assert_close(losses['acc_seg'], 100 * (label[label != 255] == 0).float().mean().view(1))


def test_ohem_sampler_stays_as_in_mmseg() -> None:
    for thresh in (0.7, None):
        cfg = head_cfg('FCN', CE, sampler=dict(type='OHEMPixelSampler', thresh=thresh, min_kept=20))
        got, want = results(wrapped(cfg)), results(cfg)
        assert all(torch.equal(got[0][key], want[0][key]) for key in want[0])
        with pytest.raises(ValueError, match=r'CrossEntropyLoss \(the pixel sampler of the head reads them\)'):
            build(wrapped(cfg, upsample='strip'))


def test_start_up_names_what_is_left_as_in_mmseg(caplog: pytest.LogCaptureFixture) -> None:
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    build(wrapped(head_cfg('FCN', MIXED)))
    logger.removeHandler(caplog.handler)
    lines = [line for line in (record.getMessage() for record in caplog.records) if 'is computed' in line]
    assert lines == [
        'LossFCNHead: CrossEntropyLoss is computed from full-resolution logits (it is no loss of mmimb)',
        'LossFCNHead: DiceLoss is computed from full-resolution logits (it is no sum over pixels)']


def test_a_gpu_without_a_kernel_goes_by_strips_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    logits: Any = SimpleNamespace(device=torch.device('cuda'))
    for _ in range(2):
        assert implementation('auto', None, logits) is strips
    logger.removeHandler(caplog.handler)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("upsample='auto' goes by strips, for ")


def test_what_is_asked_for_by_name_is_never_replaced() -> None:
    for mode in ('fused', 'strip'):
        with pytest.raises(ValueError, match=rf"must be 'auto' or 'stock' for DiceLoss \(it is no sum.*got '{mode}'"):
            build(wrapped(head_cfg('FCN', [CE, DICE]), upsample=mode))
    fused = wrapped(head_cfg('FCN', CE), upsample='fused')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"`upsample` must be 'strip', 'stock' or 'auto' here .*, got 'fused'"):
            results(fused)


def test_the_warning_about_sizes_is_that_of_mmseg() -> None:
    told = []
    for cfg in (head_cfg('FCN', CE, align_corners=True), wrapped(head_cfg('FCN', CE, align_corners=True))):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter('always')
            results(cfg)
        told.append([str(w.message) for w in found if 'align_corners' in str(w.message)])
    assert told[0] == told[1] != []


@pytest.mark.parametrize('mode', [mode for mode in MODES if mode != 'fused'])
def test_autocast_loss_scale_and_accumulated_gradients(mode: str) -> None:
    """A step over two batches moves the weights as in float32 when it is scaled, and under bfloat16 autocast nearly so."""
    moved = []
    for autocast, scale in ((False, 1.0), (False, 2.0**16), (True, 2.0**16)):
        head = build(wrapped(head_cfg('FCN', CE), upsample=mode))
        head.init_weights()
        before = head.conv_seg.weight.detach().clone()
        wrapper = OptimWrapper(torch.optim.SGD(head.parameters(), lr=1 / scale), accumulative_counts=2)
        wrapper.initialize_count_status(head, 0, 4)
        for seed in (0, 1):
            with wrapper.optim_context(head), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
                losses = head.loss(*inputs('FCN', batch(seed)[0]), batch(seed)[1], {})
            wrapper.update_params(scale * losses['loss_cross_entropy'])
        moved.append(head.conv_seg.weight.detach() - before)
    assert float(moved[0].abs().max()) > 1e-3
    assert_close(moved[1], moved[0], rtol=1e-4, atol=1e-8)
    assert_close(moved[2], moved[0], rtol=0, atol=0.05 * float(moved[0].abs().max()))


def test_compiled_head_gives_the_same() -> None:
    head = build(wrapped(head_cfg('FCN', CE)))
    feats, samples = batch()
    want = head.loss(feats, samples, {})
    torch._dynamo.reset()
    got = torch.compile(head.loss, backend='aot_eager')(feats, samples, {})
    assert_close(got, want)
