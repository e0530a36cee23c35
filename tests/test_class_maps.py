"""Class maps without full-resolution logits: those that mmseg predicts, whatever is done to them on the way to the image."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample
from support.head_cases import HEADS, NORM, build, one_thread, wrapped  # noqa: F401
from support.largest import Largest
from torch import Tensor

from mmimb.heads import ClassMaps

CLASSES = 6
CE = dict(type='mmimb.CrossEntropyLoss')
SIDES = [4, 8, 4, 2]  # of the feature maps, in units of an eighth of the input


class Features(torch.nn.Module):
    """A backbone without weights: four feature maps of the input."""

    def forward(self, inputs: Tensor) -> list[Tensor]:
        return [torch.cat([torch.nn.functional.avg_pool2d(inputs, 2 ** level), -torch.nn.functional.max_pool2d(
            inputs, 2 ** level), torch.nn.functional.avg_pool2d(inputs, 2 ** level)[:, :2] ** 2], 1) for level in (1, 2, 3, 4)]


def segmentor(head: str = 'FCN', test_cfg: dict | None = None, plain: bool = False, **changes: Any) -> Any:
    """Return a segmentor with random weights that predicts every class somewhere; mmseg's own head if ``plain``."""
    cfg = {**HEADS[head], 'num_classes': CLASSES, 'norm_cfg': NORM, 'dropout_ratio': 0, 'loss_decode': CE, **changes}
    cfg = cfg if plain else wrapped(cfg)
    cascade = head == 'OCR'
    first = {**HEADS['FCN'], 'num_classes': CLASSES, 'norm_cfg': NORM, 'dropout_ratio': 0, 'loss_decode': CE}
    model = build(ConfigDict(type='CascadeEncoderDecoder' if cascade else 'EncoderDecoder',
                             **(dict(num_stages=2) if cascade else {}), backbone=dict(type='mmseg.ResNet', depth=18),
                             decode_head=[first, cfg] if cascade else cfg, train_cfg=dict(),
                             test_cfg=test_cfg or dict(mode='whole')))
    model.backbone = Features()
    last = model.decode_head[-1] if cascade else model.decode_head
    torch.nn.init.normal_(last.conv_seg.weight, std=30.0)
    return model.eval()


def samples(*metas: dict[str, Any]) -> list[SegDataSample]:
    return [SegDataSample(metainfo={'img_shape': (48, 64), 'pad_shape': (48, 64), 'ori_shape': (48, 64), **meta})
            for meta in metas]


def images(count: int, height: int = 48, width: int = 64) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def both(model: Any, inputs: Tensor, *metas: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the predictions of mmseg, and those without full-resolution logits."""
    with torch.no_grad():
        want = model.predict(inputs, samples(*metas))
        with ClassMaps(model):
            got = model.predict(inputs, samples(*metas))
    assert 'predict' not in vars(model)
    return want, got


def same(want: list[Any], got: list[Any], scores: bool = False) -> None:
    assert len(want) == len(got)
    for one, other in zip(want, got, strict=True):
        assert other.pred_sem_seg.data.dtype == one.pred_sem_seg.data.dtype
        assert torch.equal(other.pred_sem_seg.data, one.pred_sem_seg.data)
        assert ('seg_logits' in other) is scores
        assert len(one.pred_sem_seg.data.unique()) > 1


METAS: dict[str, dict[str, Any]] = {
    'as it is': {}, 'smaller': dict(ori_shape=(31, 40)), 'larger': dict(ori_shape=(97, 130)),
    'padded': dict(padding_size=[0, 10, 0, 7], ori_shape=(41, 54)),
    'padded at the front': dict(img_padding_size=[3, 10, 5, 7], padding_size=[0, 0, 0, 0], ori_shape=(50, 71)),
    'flipped': dict(flip=True, flip_direction='horizontal', ori_shape=(60, 64)),
    'upside down': dict(flip=True, flip_direction='vertical', padding_size=[1, 2, 3, 4], ori_shape=(48, 60)),
}


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('name', METAS)
def test_what_happens_to_an_image(name: str, align_corners: bool) -> None:
    model = segmentor(align_corners=align_corners)
    same(*both(model, images(1), METAS[name]))


@pytest.mark.parametrize('plain', [False, True])
@pytest.mark.parametrize('head', HEADS)
def test_heads(head: str, plain: bool) -> None:
    same(*both(segmentor(head, plain=plain), images(3), METAS['larger'], METAS['flipped'], METAS['padded']))


@pytest.mark.parametrize('loss', [dict(type='mmimb.BinaryCrossEntropyLoss'), dict(type='CrossEntropyLoss', use_sigmoid=True)])
@pytest.mark.parametrize('channels', [1, 6])
def test_sigmoid_heads(loss: dict[str, Any], channels: int) -> None:
    classes = dict(num_classes=2, out_channels=1, threshold=0.4) if channels == 1 else {}
    model = segmentor(loss_decode=loss, **classes)
    if channels == 1:
        model.decode_head.conv_seg.weight.data *= 0.03
    same(*both(model, images(2), METAS['larger'], METAS['as it is']))


SLIDE = {'one window': ((48, 64), (40, 40)), 'a larger window': ((80, 80), (40, 40)), 'side by side': ((24, 32), (24, 32)),
         'overlap': ((24, 32), (16, 32)), 'the last one overlaps': ((24, 40), (24, 40))}


@pytest.mark.parametrize('name', SLIDE)
@pytest.mark.parametrize('meta', ['as it is', 'larger'])
def test_windows(name: str, meta: str) -> None:
    crop, stride = SLIDE[name]
    model = segmentor(test_cfg=dict(mode='slide', crop_size=crop, stride=stride))
    averaged = 'overlap' in name or (name == 'side by side' and meta == 'larger')
    same(*both(model, images(2), METAS[meta], METAS['as it is']), scores=averaged)
    if meta == 'as it is':
        flip = dict(flip=True, flip_direction='vertical', padding_size=[4, 0, 0, 8], ori_shape=(40, 60))
        same(*both(model, images(1), flip), scores='overlap' in name)


def test_size_of_the_input_without_a_padded_shape() -> None:
    model = segmentor()
    inputs, sample = images(1), SegDataSample(metainfo=dict(img_shape=(48, 64), ori_shape=(48, 64)))
    want = model.predict(inputs, [sample.clone()])
    with ClassMaps(model):
        same(want, model.predict(inputs, [sample.clone()]))


def test_scores_are_there_without_samples_and_afterwards() -> None:
    model = segmentor()
    with torch.no_grad(), ClassMaps(model):
        assert model.predict(images(1))[0].seg_logits.data.shape == (CLASSES, 48, 64)
    assert 'seg_logits' in model.predict(images(1), samples({}))[0]
    other = segmentor()
    with ClassMaps(model):
        assert 'seg_logits' in other.predict(images(1), samples({}))[0]


def test_an_error_leaves_the_head_as_it_was() -> None:
    model = segmentor()
    with ClassMaps(model), pytest.raises(RuntimeError):
        model.predict(torch.randn(1, 5, 48, 64), samples({}))
    assert 'predict' not in vars(model)
    assert 'predict_by_feat' not in vars(model.decode_head)


def test_half_precision_and_autocast() -> None:
    model = segmentor()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        want = model.predict(images(1), samples({}))[0].pred_sem_seg.data
        with ClassMaps(model):
            got = model.predict(images(1), samples({}))[0].pred_sem_seg.data
    assert (want == got).float().mean() > 0.97  # mmseg interpolates in bfloat16, where classes are equal more often



def test_a_head_that_resizes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model = segmentor()
    kind = type(model.decode_head)

    def predict(self: Any, inputs: Any, metas: Any, test_cfg: Any) -> Tensor:
        return torch.nn.functional.interpolate(self.forward(inputs), (48, 64), mode='bicubic')

    monkeypatch.setattr(kind, 'predict', predict)
    same(*both(model, images(1), METAS['larger']))


def test_models_with_a_way_of_their_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r'predict as EncoderDecoder does, got Linear \(it is no EncoderDecoder\)'):
        ClassMaps(torch.nn.Linear(2, 2))
    model = segmentor()
    with monkeypatch.context() as patch:
        patch.setattr(type(model.decode_head), 'predict_by_feat', lambda *args: None)
        with pytest.raises(ValueError, match=r'its LossFCNHead has its own predict_by_feat\)$'):
            ClassMaps(model)

    class Own(type(model)):  # type: ignore[misc]
        def postprocess_result(self, *args: Any) -> None: ...

    model.__class__ = Own
    with pytest.raises(ValueError, match=r'got Own \(it has its own postprocess_result\)'):
        ClassMaps(model)


def test_no_full_resolution_logits() -> None:
    model = segmentor(num_classes=40)
    sizes = []
    for context in (torch.no_grad(), ClassMaps(model)):
        with context, torch.no_grad(), Largest() as largest:
            model.predict(images(1, 96, 128), samples(dict(img_shape=(96, 128), pad_shape=(96, 128), ori_shape=(192, 256))))
        sizes.append(largest.size)
    assert sizes[0] == 40 * 192 * 256
    assert sizes[1] <= 192 * 256 * 3.5
