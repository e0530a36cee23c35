"""LossHead: the base head with another last layer, in every place where a config can put it."""
from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import mmseg
import numpy as np
import pytest
import torch
from cases import STATS
from mmengine import Config
from mmengine.model import revert_sync_batchnorm
from mmseg.models.decode_heads import FCNHead, UPerHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from support.head_cases import CLASSES, HEADS, batch, build, head_cfg, inputs, one_thread, wrapped  # noqa: F401

from mmimb.heads import CosineClassifier, LossHead
from mmimb.heads.loss_head import COSINE_SCALE

CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
CE = dict(type='mmimb.CrossEntropyLoss')
LDAM = dict(type='mmimb.LDAMLoss', stats=STATS)
ELM = dict(type='mmimb.ELMLoss', stats=STATS)
each_head = pytest.mark.parametrize('name', HEADS)


def cosines(feat: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``(N, C, H, W)`` cosines in float64, one pixel and class at a time."""
    result = np.zeros((len(feat), len(weight), *feat.shape[2:]))
    for n, c, h, w in np.ndindex(result.shape):
        x, v = feat[n, :, h, w].astype(float), weight[c, :, 0, 0].astype(float)
        lengths = np.sqrt((x**2).sum() * (v**2).sum())
        result[n, c, h, w] = (x * v).sum() / lengths if lengths > 0 else 0
    return result


def classifier_input(head: torch.nn.Module, *args: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what ``conv_seg`` was given and the output of the head."""
    seen = []
    handle = head.conv_seg.register_forward_hook(lambda module, given, output: seen.append(given[0].detach()))
    output = head(*args)
    handle.remove()
    return seen[0], output


@each_head
def test_linear_is_the_base_head_bit_for_bit(name: str) -> None:
    feats, samples = batch()
    results = []
    for cfg in (head_cfg(name, CE, dropout_ratio=0.1), wrapped(head_cfg(name, CE, dropout_ratio=0.1), upsample='stock')):
        head = build(cfg)
        head.init_weights()
        torch.manual_seed(1)
        losses = head.loss(*inputs(name, feats), samples, {})
        losses['loss_cross_entropy'].backward()
        predicted = head.eval().predict(*inputs(name, feats), [dict(img_shape=(32, 32))], {})
        results.append((head.state_dict(), losses, [p.grad for p in head.parameters()], predicted))
    (state, losses, grads, predicted), (own_state, own_losses, own_grads, own_predicted) = results
    assert list(state) == list(own_state)
    assert all(torch.equal(own_state[key], value) for key, value in state.items())
    assert list(losses) == list(own_losses)
    assert all(torch.equal(own_losses[key], value) for key, value in losses.items())
    assert all(torch.equal(a, b) for a, b in zip(grads, own_grads, strict=True))
    assert torch.equal(predicted, own_predicted)


@each_head
@pytest.mark.parametrize('loss', [CE, LDAM], ids=['own scale', 'scale of the loss'])
def test_cosine_scores_are_those_of_the_definition(name: str, loss: dict) -> None:
    head = build(wrapped(head_cfg(name, loss), classifier='cosine')).eval()
    feat, output = classifier_input(head, *inputs(name, batch()[0]))
    expected = cosines(feat.numpy(), head.conv_seg.weight.detach().numpy())
    np.testing.assert_allclose(output.detach().numpy(), (1 if loss is LDAM else COSINE_SCALE) * expected, rtol=0, atol=3e-5)


@each_head
@pytest.mark.parametrize('loss', [CE, LDAM, ELM], ids=lambda cfg: cfg['type'])
def test_cosine_heads_learn(name: str, loss: dict) -> None:
    head = build(wrapped(head_cfg(name, loss), classifier='cosine'))
    head.init_weights()
    feats, samples = batch()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    values = []
    for _ in range(10):
        losses = head.loss(*inputs(name, feats), samples, {})
        (total,) = (value for key, value in losses.items() if 'loss' in key)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.9 * values[0], values


def test_scale_belongs_to_the_loss() -> None:
    def scale(*losses: dict) -> float:
        return build(wrapped(head_cfg('FCN', list(losses)), classifier='cosine')).conv_seg.scale

    assert scale(LDAM) == scale(LDAM, ELM) == 1
    assert scale(CE) == scale(CE, dict(type='DiceLoss')) == COSINE_SCALE == 30
    with pytest.raises(ValueError, match=r'must not mix losses .* got LDAMLoss with and CrossEntropyLoss without'):
        scale(LDAM, CE)
    build(wrapped(head_cfg('FCN', [LDAM, CE])))  # a linear classifier has no scale to agree on


def test_gradients_of_the_cosine_classifier() -> None:
    torch.manual_seed(0)
    layer = CosineClassifier(5, 3, 30.0).double()
    assert torch.autograd.gradcheck(layer, torch.randn(2, 5, 2, 3, dtype=torch.float64, requires_grad=True))
    weight = layer.weight.detach().clone()
    layer.weight.data *= 7
    feat = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    value = layer(3 * feat)
    layer.weight.data = weight
    torch.testing.assert_close(value, layer(feat))


def test_vectors_without_a_direction_score_zero_and_get_no_gradient() -> None:
    layer = CosineClassifier(5, 3, 30.0)
    layer.weight.data[1] = 0
    feat = torch.randn(1, 5, 2, 2)
    feat[0, :, 0, 0] = 0
    feat[0, :, 0, 1] = 1e-30
    feat.requires_grad_()
    scores = layer(feat)
    scores.square().sum().backward()
    assert torch.isfinite(scores).all()
    assert (scores[0, :, 0] == 0).all()
    assert (scores[0, 1] == 0).all()
    assert (feat.grad[0, :, 0] == 0).all()
    assert torch.isfinite(feat.grad).all()
    assert (layer.weight.grad[1] == 0).all()
    assert float(layer.weight.grad[0].abs().max()) > 0


def test_cosines_are_float32_under_autocast_and_in_half_models() -> None:
    torch.manual_seed(0)
    layer = CosineClassifier(64, 3, 30.0)
    feat = 200 * torch.randn(1, 64, 4, 4)  # squares beyond float16
    exact = 30 * cosines(feat.numpy(), layer.weight.detach().numpy())
    with torch.autocast('cpu', torch.bfloat16):
        scores = layer(feat)
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.detach().numpy(), exact, atol=1e-4)
    half = layer.half()(feat.half())
    assert half.dtype == torch.float32
    np.testing.assert_allclose(half.detach().numpy(), exact, atol=0.03)  # rounded inputs, exact sums


def test_initial_classes_have_length_one() -> None:
    head = build(wrapped(head_cfg('FCN', CE), classifier='cosine'))
    head.init_weights()
    torch.testing.assert_close(head.conv_seg.weight.flatten(1).norm(dim=1), torch.ones(CLASSES))


def test_checkpoints_move_between_classifiers() -> None:
    linear = build(head_cfg('UPer', CE))
    cosine = build(wrapped(head_cfg('UPer', CE), classifier='cosine'), seed=1)
    found = cosine.load_state_dict(linear.state_dict(), strict=False)
    assert (found.missing_keys, found.unexpected_keys) == ([], ['conv_seg.bias'])
    assert torch.equal(cosine.conv_seg.weight, linear.conv_seg.weight)
    found = linear.load_state_dict(cosine.state_dict(), strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (['conv_seg.bias'], [])


@pytest.mark.parametrize('classifier', ['linear', 'cosine'])
@pytest.mark.parametrize('copied', [
    lambda head: pickle.loads(pickle.dumps(head)), lambda head: pickle.loads(pickle.dumps(head, 0)), copy.deepcopy,
    copy.copy, lambda head: save_and_load(head)], ids=['pickle', 'protocol 0', 'deepcopy', 'copy', 'torch.save'])
def test_the_head_can_be_copied(classifier: str, copied: Any) -> None:
    head = build(wrapped(head_cfg('UPer', LDAM), classifier=classifier)).eval()
    again = copied(head)
    assert type(again) is type(head)
    assert again.conv_seg.weight.shape == head.conv_seg.weight.shape
    assert torch.equal(again(batch()[0]), head(batch()[0]))


def save_and_load(head: torch.nn.Module) -> torch.nn.Module:
    file = io.BytesIO()
    torch.save(torch.nn.Sequential(head), file)
    file.seek(0)
    return torch.load(file, weights_only=False)[0]


def test_the_class_says_what_it_is() -> None:
    cfg = wrapped(head_cfg('UPer', CE))
    head = build(cfg)
    assert isinstance(head, LossHead)
    assert isinstance(head, UPerHead)
    assert isinstance(head, BaseDecodeHead)
    assert type(head).__name__ == 'LossUPerHead'
    assert type(build(cfg)) is type(head)
    assert isinstance(build({**cfg, 'base': UPerHead}), UPerHead)
    assert isinstance(LossHead('mmseg.UPerHead', **{k: v for k, v in cfg.items() if k not in ('type', 'base')}), UPerHead)
    assert 'CosineClassifier(8, 4, kernel_size=(1, 1), stride=(1, 1), bias=False, scale=30)' in repr(
        build({**cfg, 'classifier': 'cosine'}))


def test_tracing_and_compiling() -> None:
    head = build(wrapped(head_cfg('FCN', CE), classifier='cosine')).eval()
    feats = batch()[0]
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(head, (feats, )), file)
    file.seek(0)
    torch.testing.assert_close(torch.jit.load(file)(feats), head(feats))
    compiled = torch.compile(head, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(compiled(feats), head(feats))


class OwnClassifier(FCNHead):
    def cls_seg(self, feat: torch.Tensor) -> torch.Tensor:
        return super().cls_seg(feat)


class WithoutClassifier(FCNHead):
    """Its conv_seg is of another kind."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv_seg = torch.nn.Conv2d(8, CLASSES, 3, padding=1)


@pytest.mark.parametrize(('base', 'words'), [
    (None, "must be the type of a registered decode head, such as 'UPerHead', got None"),
    ('UperHead', "must be the type of a registered decode head.* got 'UperHead'"),
    ('CrossEntropyLoss', r'\(it is no decode head'),
    ('Mask2FormerHead', r'\(it is no decode head'),
    ('mmimb.LossHead', r'\(it is a LossHead itself'),
    ('PointHead', r'\(it has a loss_by_feat of its own'),
    ('EncHead', r'\(it has a loss_by_feat of its own'),
    ('DAHead', r'\(it has a loss_by_feat of its own'),
    ('DDRHead', r'\(it has a loss_by_feat of its own'),
    ('PIDHead', r'\(it has a loss_by_feat of its own'),
    ('STDCHead', r'\(it has a loss_by_feat of its own'),
    ('IterativeDecodeHead', r'\(it has a loss_by_feat of its own'),
    ('SideAdapterCLIPHead', r'\(it has a loss_by_feat of its own'),
    ('SegmenterMaskTransformerHead', r'\(it never calls cls_seg'),
    (BaseDecodeHead, r'\(it never calls cls_seg'),
    (OwnClassifier, r'\(it has a cls_seg of its own'),
    (WithoutClassifier, r'its conv_seg must be a 1x1 convolution'),
])
def test_heads_that_cannot_be_wrapped_are_refused_with_the_reason(base: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f'`base` .*{words}') as error:
        build({**wrapped(head_cfg('FCN', CE)), 'base': base})
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['ANNHead', 'APCHead', 'ASPPHead', 'CCHead', 'DMHead', 'DNLHead', 'DPTHead',
                                  'DepthwiseSeparableFCNHead', 'EMAHead', 'FPNHead', 'GCHead', 'ISAHead', 'LRASPPHead',
                                  'LightHamHead', 'NLHead', 'PSAHead', 'SETRMLAHead', 'SETRUPHead'])
def test_other_standard_heads_can_be_wrapped(name: str) -> None:
    from mmseg.registry import MODELS

    from mmimb.heads.loss_head import head_class
    assert issubclass(head_class(MODELS.get(name)), MODELS.get(name))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"`classifier` must be one of \('linear', 'cosine'\), got 'arc'"):
        build(wrapped(head_cfg('FCN', CE), classifier='arc'))
    with pytest.raises(ValueError, match=r"`upsample` must be one of .*'stock'\), got 'fast'"):
        build(wrapped(head_cfg('FCN', CE), upsample='fast'))
    with pytest.raises(TypeError, match='pool_scales'):
        build(wrapped(head_cfg('FCN', CE), pool_scales=(1, 2)))


def child(tmp_path: Path, base: str, text: str) -> Any:
    """Build the model of a config that a user writes over one of mmseg's, without pretrained weights."""
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = '{CONFIGS / base}'\n{text}\n", encoding='utf-8')
    cfg = Config.fromfile(path)
    cfg.model.pretrained = None
    cfg.model.backbone.pop('init_cfg', None)
    return revert_sync_batchnorm(build(cfg.model))


def step(model: Any) -> dict[str, torch.Tensor]:
    samples = batch()[1]
    losses = model.loss(torch.randn(2, 3, 32, 32), samples)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    return losses


def test_three_words_over_an_inherited_config(tmp_path: Path) -> None:
    model = child(tmp_path, 'upernet/upernet_r18_4xb2-80k_cityscapes-512x1024.py',
                  "model = dict(decode_head=dict(type='mmimb.LossHead', base='UPerHead', classifier='cosine'),\n"
                  "             auxiliary_head=dict(type='mmimb.LossHead', base='FCNHead'))")
    assert isinstance(model.decode_head, UPerHead)
    assert type(model.auxiliary_head).__name__ == 'LossFCNHead'
    assert model.decode_head.conv_seg.weight.shape == (19, 512, 1, 1)
    losses = step(model)
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg', 'aux.loss_ce', 'aux.acc_seg'}
    again = pickle.loads(pickle.dumps(model.eval()))
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(again(image), model(image))


def test_cascade(tmp_path: Path) -> None:
    text = '''
head = dict(type='mmimb.LossHead', classifier='cosine', in_channels=[18, 36, 72, 144], in_index=(0, 1, 2, 3),
            input_transform='resize_concat', num_classes=19, align_corners=False, dropout_ratio=-1,
            norm_cfg=dict(type='SyncBN', requires_grad=True), loss_decode=dict(type='mmimb.CrossEntropyLoss'))
model = dict(decode_head=[dict(base='FCNHead', channels=270, kernel_size=1, num_convs=1, concat_input=False, **head),
                          dict(base='OCRHead', channels=32, ocr_channels=16, **head)])
'''
    model = child(tmp_path, 'ocrnet/ocrnet_hr18s_4xb2-80k_cityscapes-512x1024.py', text)
    assert [type(head).__name__ for head in model.decode_head] == ['LossFCNHead', 'LossOCRHead']
    losses = step(model)
    assert {'decode_0.loss_cross_entropy', 'decode_1.loss_cross_entropy'} <= set(losses)
    assert all(head.conv_seg.weight.grad.abs().sum() > 0 for head in model.decode_head)
    copy.deepcopy(model)
