"""Change one line: child configs over mmseg's own configs, run for one real training step.

Every loss of ours that such a step calls is compared with float64 numpy on the very logits that the head handed over.
"""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmseg
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import point_head
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.functional import grid_sample

CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
PIXELS = [int(1e7 * 0.6**(7 * c % 19)) + c for c in range(19)]
WEIGHTS = [0.5 + (5 * c % 19) / 10 for c in range(19)]
MSE = f"type='mmimb.OutlyingMSELoss', stats=dict(pixels={PIXELS})"
CE = "type='mmimb.CrossEntropyLoss'"

FCN = 'fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
PSP = 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
DEEPLAB = 'deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py'
UPER = 'upernet/upernet_r18_4xb2-80k_cityscapes-512x1024.py'
CGNET = 'cgnet/cgnet_fcn_4xb8-60k_cityscapes-512x1024.py'  # its base has a class_weight
UNET = 'unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_chase-db1-128x128.py'  # a list of losses
OCR = 'ocrnet/ocrnet_hr18s_4xb2-80k_cityscapes-512x1024.py'  # a list of heads
POINT = 'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py'  # a list of heads, (N, C, P) logits
FAST_SCNN = 'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'  # use_sigmoid=True, a list of auxiliary heads
BISENET = 'bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py'
ICNET = 'icnet/icnet_r18-d8_4xb2-80k_cityscapes-832x832.py'
DDRNET = 'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py'  # positional calls without ignore_index
PIDNET = 'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py'  # the same, and a boundary loss


@dataclass
class Call:
    """What a head handed to a loss of ours, and what came back."""

    cfg: Mapping[str, Any]
    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    ignore_index: int
    reduction: str
    output: torch.Tensor


@dataclass
class Step:
    model: torch.nn.Module
    losses: dict[str, Any]
    calls: list[Call]

    @property
    def keys(self) -> set[str]:
        return {key for key in self.losses if 'loss' in key}


def child(tmp_path: Path, base: str | Path, text: str) -> Config:
    """Load a config that a user would write: a base by path and a few lines."""
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = '{CONFIGS / base}'\n{text}\n", encoding='utf-8')
    return Config.fromfile(path)


def as_list(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple, torch.nn.ModuleList)) else [value]


def ours(model: torch.nn.Module, cfg: Config) -> Iterator[tuple[torch.nn.Module, Mapping[str, Any]]]:
    """Yield every loss module of ours together with its config."""
    for name in ('decode_head', 'auxiliary_head'):
        if cfg.model.get(name) is None:
            continue
        for head, head_cfg in zip(as_list(getattr(model, name)), as_list(cfg.model[name]), strict=True):
            for loss, loss_cfg in zip(as_list(head.loss_decode), as_list(head_cfg.loss_decode), strict=True):
                if loss_cfg.type.startswith('mmimb.'):
                    yield loss, loss_cfg


def step(cfg: Config, *, size: int = 64, ignored: int = 255) -> Step:
    """Build the model (no weights are loaded) and run one real forward and backward pass on random images."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))  # SyncBN needs a GPU
    calls: list[Call] = []

    def watch(loss: torch.nn.Module, loss_cfg: Mapping[str, Any]) -> None:
        def hook(module: Any, args: Any, kwargs: Any, output: torch.Tensor) -> None:
            reduction = kwargs.get('reduction_override') or 'mean'
            calls.append(Call(loss_cfg, args[0].detach().clone(), args[1].clone(), kwargs.get('weight'),
                              kwargs.get('ignore_index', 255), reduction, output.detach().clone()))
        loss.register_forward_hook(hook, with_kwargs=True)

    for loss, loss_cfg in ours(model, cfg):
        watch(loss, loss_cfg)
    classes = as_list(cfg.model.decode_head)[-1].num_classes
    labels = torch.randint(classes, (2, 1, size // 8, size // 8)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    labels[:, :, :8, :24] = ignored
    samples = [SegDataSample(metainfo=dict(img_shape=(size, size)), gt_sem_seg=PixelData(data=label),
                             gt_edge_map=PixelData(data=(label != label.roll(1, 2)).long())) for label in labels]
    result = Step(model.train(), model(torch.randn(2, 3, size, size), samples, mode='loss'), calls)
    total, _ = model.parse_losses(result.losses)
    total.backward()
    assert torch.isfinite(total)
    return result


def oracle(call: Call) -> np.ndarray:
    """The loss of ``(P,)`` pixels in float64 from the formula: weighted, ignored ones 0."""
    cfg, classes = call.cfg, call.logits.shape[1]
    z = np.moveaxis(call.logits.double().numpy(), 1, -1).reshape(-1, classes)
    y = call.target.numpy().ravel()
    valid = y != call.ignore_index
    safe = np.where(valid, y, 0)
    if cfg['type'] == 'mmimb.OutlyingMSELoss':
        pixels, alpha = cfg['stats']['pixels'], cfg.get('alpha', 'auto')
        rank = np.array([1 + sum(p > pixels[c] for p in pixels) for c in range(classes)])
        target = np.eye(classes)[safe] * rank[safe, None] * (66 / classes if alpha == 'auto' else alpha)
        loss = ((z - target)**2).mean(1) / (66 if alpha == 'auto' else 1)
    else:
        top = z.max(1)
        loss = np.log(np.exp(z - top[:, None]).sum(1)) + top - z[np.arange(len(z)), safe]
    loss = loss * np.array(cfg.get('class_weight', np.ones(classes)))[safe] * valid
    return loss * (1 if call.weight is None else call.weight.double().numpy().ravel())


def check(result: Step, keys: set[str]) -> None:
    """The loss keys, the value of every call of ours, and gradients in every head and at the very first convolution."""
    assert result.keys == keys
    assert result.calls, 'no loss of ours was called'
    for call in result.calls:
        expected, factor = oracle(call), call.cfg.get('loss_weight', 1.0)
        if call.reduction == 'none':
            np.testing.assert_allclose(call.output.numpy().ravel(), factor * expected, rtol=2e-4, atol=1e-5)
        else:
            valid = int((call.target != call.ignore_index).sum())
            assert float(call.output) == pytest.approx(factor * expected.sum() / max(valid, 1), rel=2e-5)
    parameters = dict(result.model.named_parameters())
    first = next(name for name in parameters if name.startswith('backbone.') and parameters[name].ndim == 4)
    for name in [first, *(n for n in parameters if n.endswith('conv_seg.weight') and parameters[n].grad is not None)]:
        assert torch.isfinite(parameters[name].grad).all()
        assert parameters[name].grad.abs().sum() > 0, name


@pytest.mark.parametrize('delete', [False, True], ids=['merged', 'delete'])
@pytest.mark.parametrize('loss', [MSE, f'{CE}, class_weight={WEIGHTS}'], ids=['outlying_mse', 'cross_entropy'])
@pytest.mark.parametrize('base', [FCN, PSP, DEEPLAB, UPER], ids=['fcn', 'psp', 'deeplabv3plus', 'uper'])
def test_one_line_in_both_heads(tmp_path: Path, base: str, loss: str, delete: bool) -> None:
    """use_sigmoid=False and loss_weight of the base are merged into our dict, unless the line says _delete_=True."""
    line = f"loss_decode=dict({'_delete_=True, ' * delete}{loss})"
    cfg = child(tmp_path, base, f'model = dict(decode_head=dict({line}), auxiliary_head=dict({line}))')
    assert cfg.model.auxiliary_head.loss_decode.get('use_sigmoid') is (None if delete else False)
    assert cfg.model.auxiliary_head.loss_decode.get('loss_weight') == (None if delete else 0.4)
    result = step(cfg)
    name = 'loss_outlying_mse' if 'MSE' in loss else 'loss_cross_entropy'
    check(result, {f'decode.{name}', f'aux.{name}'})
    assert [call.cfg.get('loss_weight', 1.0) for call in result.calls] == [1.0, 1.0 if delete else 0.4]


def test_one_head_only(tmp_path: Path) -> None:
    """The auxiliary head keeps the stock loss of the base."""
    result = step(child(tmp_path, FCN, f'model = dict(decode_head=dict(loss_decode=dict({MSE}, alpha=1.0)))'))
    check(result, {'decode.loss_outlying_mse', 'aux.loss_ce'})


def test_class_weight_of_the_base_is_used(tmp_path: Path) -> None:
    cfg = child(tmp_path, CGNET, f'model = dict(decode_head=dict(loss_decode=dict({MSE})))')
    assert len(cfg.model.decode_head.loss_decode.class_weight) == 19
    check(step(cfg), {'decode.loss_outlying_mse'})


def test_ignore_index_of_the_head_is_used(tmp_path: Path) -> None:
    cfg = child(tmp_path, FCN, f'model = dict(decode_head=dict(ignore_index=0, loss_decode=dict({MSE})), auxiliary_head=None)')
    result = step(cfg, ignored=0)
    check(result, {'decode.loss_outlying_mse'})
    assert result.calls[0].ignore_index == 0


@pytest.mark.parametrize(('base', 'argument', 'error'), [
    (FCN, 'avg_non_ignore=True', TypeError),
    (FCN, 'use_sigmoid=True', ValueError),
    (FAST_SCNN, '', ValueError),  # has use_sigmoid=True itself
])
def test_what_a_base_cannot_hand_down_is_refused_with_a_hint(tmp_path: Path, base: str, argument: str, error: type) -> None:
    middle = tmp_path / 'middle.py'
    middle.write_text(f"_base_ = '{CONFIGS / base}'\nmodel = dict(decode_head=dict(loss_decode=dict({argument})))\n")
    cfg = child(tmp_path, middle, f'model = dict(decode_head=dict(loss_decode=dict({MSE})))')
    key = argument.split('=')[0] or 'use_sigmoid'
    with pytest.raises(error, match=f'(?s)`{key}`.*OutlyingMSELoss.*_delete_=True'):
        step(cfg)
    line = f'loss_decode=dict(_delete_=True, {MSE})'
    check(step(child(tmp_path, middle, f'model = dict(decode_head=dict({line}), auxiliary_head=None)')),
          {'decode.loss_outlying_mse'})


def test_binary_head_is_refused_in_one_line(tmp_path: Path) -> None:
    cfg = child(tmp_path, UNET, 'model = dict(auxiliary_head=None, decode_head=dict(out_channels=1, threshold=0.3, '
                                f'loss_decode=dict(_delete_=True, {CE})))')
    with pytest.raises(ValueError, match='out_channels=1 need a sigmoid loss'):
        step(cfg)


def test_list_of_losses_is_restated_and_mixes_with_stock_ones(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match='_delete_=True'):  # mmengine's own words: a dict cannot be merged into a list
        child(tmp_path, UNET, f'model = dict(decode_head=dict(loss_decode=dict({CE})))')
    mse = "type='mmimb.OutlyingMSELoss', stats=dict(pixels=[900, 100]), loss_weight=0.5"
    cfg = child(tmp_path, UNET, f"model = dict(decode_head=dict(loss_decode=[dict({mse}), dict({CE}), "
                                "dict(type='CrossEntropyLoss', avg_non_ignore=True), dict(type='DiceLoss', loss_weight=3.0)]))")
    result = step(cfg)
    names = ('outlying_mse', 'cross_entropy', 'ce', 'dice')
    check(result, {'aux.loss_ce', *(f'decode.loss_{name}' for name in names)})
    own, stock = result.losses['decode.loss_cross_entropy'], result.losses['decode.loss_ce']
    assert float(own) == pytest.approx(float(stock), rel=1e-5)  # the same formula where stock averages over valid pixels


def test_two_of_one_name_are_added_or_told_apart(tmp_path: Path) -> None:
    """mmseg adds up losses of one name, in place in what the first one returned; loss_name separates them in the log."""
    text = 'model = dict(decode_head=dict(loss_decode=[dict({0}), dict({0}, loss_weight=2.0{1})]), auxiliary_head=None)'
    added = step(child(tmp_path, FCN, text.format(CE, '')))
    check(added, {'decode.loss_cross_entropy'})
    assert float(added.losses['decode.loss_cross_entropy']) == pytest.approx(3 * float(added.calls[0].output), rel=1e-5)
    apart = step(child(tmp_path, FCN, text.format(CE, ", loss_name='loss_second'")))
    check(apart, {'decode.loss_cross_entropy', 'decode.loss_second'})


def restated(base: str, part: str, losses: list[str]) -> list[dict]:
    """The base's list of heads with other losses: what a user copies into the child config."""
    heads = Config.fromfile(CONFIGS / base).model[part]
    return [{**head.to_dict(), 'loss_decode': eval(f'dict({loss})')} for head, loss in zip(heads, losses, strict=True)]


def point_sample(features: torch.Tensor, points: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    """Values at ``(N, P, 2)`` points in [0, 1]."""
    return grid_sample(features, 2 * points[:, :, None] - 1, **kwargs).squeeze(3)


@pytest.mark.parametrize(('base', 'keys'), [
    (OCR, {'decode_0.loss_cross_entropy', 'decode_1.loss_outlying_mse'}),
    (POINT, {'decode_0.loss_cross_entropy', 'decode_1.pointloss_outlying_mse'}),
], ids=['ocrnet', 'pointrend'])
def test_cascade_with_a_list_of_heads(tmp_path: Path, base: str, keys: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if point_head.point_sample is None:  # onedl's mmcv comes without its operators; this one is a grid_sample in Python
        monkeypatch.setattr(point_head, 'point_sample', point_sample)
    heads = restated(base, 'decode_head', [f'{CE}, loss_weight=0.4', MSE])
    result = step(child(tmp_path, base, f'model = dict(decode_head={heads}, train_cfg=dict(num_points=256))'))
    check(result, keys)
    assert result.calls[-1].logits.ndim == (3 if base == POINT else 4)


@pytest.mark.parametrize('base', [FAST_SCNN, BISENET, ICNET], ids=['fast_scnn', 'bisenetv1', 'icnet'])
def test_list_of_auxiliary_heads(tmp_path: Path, base: str) -> None:
    heads = restated(base, 'auxiliary_head', [f'{MSE}, loss_weight=0.4', f'{CE}, class_weight={WEIGHTS}'])
    line = f'loss_decode=dict(_delete_=True, {MSE})'
    cfg = child(tmp_path, base, f'model = dict(decode_head=dict({line}), auxiliary_head={heads})')
    check(step(cfg), {'decode.loss_outlying_mse', 'aux_0.loss_outlying_mse', 'aux_1.loss_cross_entropy'})


def test_positional_calls_of_ddrnet(tmp_path: Path) -> None:
    cfg = child(tmp_path, DDRNET, f'model = dict(decode_head=dict(loss_decode=[dict({MSE}), dict({CE}, loss_weight=0.4)]))')
    check(step(cfg), {'decode.loss_context', 'decode.loss_spatial'})


def test_positional_calls_of_pidnet(tmp_path: Path) -> None:
    """Two heads, the stock boundary loss, and a fourth loss on labels of which most or all are the filler 255."""
    losses = f"[dict({CE}, loss_weight=0.4), dict({MSE}), dict(type='BoundaryLoss', loss_weight=20.0), dict({MSE})]"
    result = step(child(tmp_path, PIDNET, f'model = dict(decode_head=dict(loss_decode={losses}))'))
    check(result, {'decode.loss_sem_p', 'decode.loss_sem_i', 'decode.loss_bd', 'decode.loss_sem_bd'})
    assert float((result.calls[-1].target == 255).float().mean()) > 0.5


@pytest.mark.parametrize('thresh', [None, 0.7])
@pytest.mark.parametrize('loss', [f'[dict({MSE}), dict({CE}, class_weight={WEIGHTS})]', f'dict(_delete_=True, {MSE})'],
                         ids=['list', 'one'])
def test_pixel_sampler(tmp_path: Path, loss: str, thresh: float | None) -> None:
    """OHEM asks for (N, H, W) losses (thresh=None) or probabilities first, then hands its choice over as weights."""
    cfg = child(tmp_path, FCN, 'model = dict(auxiliary_head=None, decode_head=dict('
                               f"sampler=dict(type='OHEMPixelSampler', thresh={thresh}, min_kept=500), loss_decode={loss}))")
    result = step(cfg)
    names = {'decode.loss_outlying_mse'} | ({'decode.loss_cross_entropy'} if loss.startswith('[') else set())
    check(result, names)
    kept = [call for call in result.calls if call.reduction == 'mean']
    asked = [call for call in result.calls if call.reduction == 'none']
    assert len(asked) == (0 if thresh else len(kept))
    for call in kept:
        assert set(call.weight.unique().tolist()) <= {0.0, 1.0}
        if thresh is None:
            assert int(call.weight.sum()) == 2 * 500
    if asked:
        hardness = sum(call.output for call in asked)
        chosen = kept[0].weight.bool()
        valid = kept[0].target != 255
        assert hardness[chosen].min() >= hardness[valid & ~chosen].max()


def test_command_line_reaches_into_a_list_of_heads() -> None:
    """--cfg-options merges by index; an inherited use_sigmoid=True is switched off there as well."""
    cfg = Config.fromfile(CONFIGS / FAST_SCNN)
    for head in ('decode_head', 'auxiliary_head.0', 'auxiliary_head.1'):
        cfg.merge_from_dict({f'model.{head}.loss_decode.type': 'mmimb.CrossEntropyLoss',
                             f'model.{head}.loss_decode.use_sigmoid': False})
    check(step(cfg), {'decode.loss_cross_entropy', 'aux_0.loss_cross_entropy', 'aux_1.loss_cross_entropy'})


def test_inference_api_of_a_fresh_interpreter(tmp_path: Path) -> None:
    """init_model finds the loss without custom_imports and without the statistics file."""
    child(tmp_path, FCN, "model = dict(pretrained=None, decode_head=dict(loss_decode=dict(type='mmimb.OutlyingMSELoss', "
                         "stats='not/here.json')))")
    code = ("import sys, numpy as np; from mmseg.apis import inference_model, init_model\n"
            "assert not any(name.startswith('mmimb') for name in sys.modules)\n"
            "model = init_model(sys.argv[1], device='cpu')\n"
            "print(type(model.decode_head.loss_decode).__module__)\n"
            "print(inference_model(model, np.zeros((64, 64, 3), np.uint8)).pred_sem_seg.data.shape)")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run([sys.executable, '-c', code, str(tmp_path / 'child.py')], capture_output=True, text=True,
                          check=False, cwd=tmp_path, env={**os.environ, 'PYTHONPATH': path})
    assert done.returncode == 0, done.stderr
    assert 'mmimb.losses.outlying_mse' in done.stdout
    assert 'torch.Size([1, 64, 64])' in done.stdout
