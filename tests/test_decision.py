"""Where decision offsets go: the last layer of each kind of head, and the heads that have no such place."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import STATS
from mmseg.models import decode_heads
from mmseg.models.segmentors import EncoderDecoder
from support.head_cases import CLASSES, batch, build, head_cfg, inputs, one_thread, wrapped  # noqa: F401
from torch import nn

from mmimb.engine.decision import Classifier, class_weights_of, correction_notices
from mmimb.loss_places import NO_BIAS

CE = dict(type='mmimb.CrossEntropyLoss')
OFFSETS = np.array([0.5, -0.25, 1.0, -1.25])


class Segmentor(nn.Module):
    """What a classifier needs of a segmentor."""

    def __init__(self, *heads: nn.Module) -> None:
        super().__init__()
        self.decode_head = heads[0] if len(heads) == 1 else nn.ModuleList(heads)


def logits(head: Any, name: str = 'FCN') -> torch.Tensor:
    """Return the ``(N, C, H, W)`` logits of a head, up-sampled as in a prediction."""
    with torch.no_grad():
        feats = [x.to(head.conv_seg.weight.dtype) for x in batch()[0]]
        return head.eval().predict(*inputs(name, feats), [dict(img_shape=(32, 32))], {})


@pytest.mark.parametrize('loss', [CE, dict(type='mmimb.OutlyingMSELoss', stats=STATS),
                                  dict(type='mmimb.BinaryCrossEntropyLoss')],
                         ids=['softmax', 'raw', 'sigmoid'])
@pytest.mark.parametrize('name', ['FCN', 'UPer', 'SegFormer', 'OCR'])
def test_the_bias_takes_the_offsets(name: str, loss: dict) -> None:
    head = build(head_cfg(name, loss)).double()
    before = logits(head, name)
    classifier = Classifier(Segmentor(build(head_cfg('FCN', CE)), head) if name == 'OCR' else Segmentor(head))
    assert classifier.key == ('decode_head.1.conv_seg.bias' if name == 'OCR' else 'decode_head.conv_seg.bias')
    classifier.check(lambda: classifier.scores(logits(head, name)[0]))
    assert torch.equal(logits(head, name), before)
    classifier.shift(OFFSETS)
    np.testing.assert_allclose(logits(head, name), before + OFFSETS.reshape(1, -1, 1, 1), rtol=0, atol=1e-12)
    classifier.shift(np.zeros(CLASSES))
    assert torch.equal(logits(head, name), before)


@pytest.mark.parametrize('loss', [CE, dict(type='mmimb.LDAMLoss', stats=STATS)], ids=['scale 30', 'scale in the loss'])
def test_a_cosine_classifier_takes_the_offsets_by_its_scale(loss: dict) -> None:
    head, other = (build(wrapped(head_cfg('FCN', loss), classifier='cosine')) for _ in range(2))
    before = logits(head)
    classifier = Classifier(Segmentor(head))
    classifier.check(lambda: classifier.scores(logits(head)[0]))
    classifier.shift(OFFSETS)
    np.testing.assert_allclose(logits(head), before.double() + OFFSETS.reshape(1, -1, 1, 1), rtol=0, atol=1e-5)
    scale = 1 if loss is not CE else 30
    np.testing.assert_allclose(head.state_dict()['conv_seg.offsets'], OFFSETS / scale, rtol=1e-6)
    other.load_state_dict(head.state_dict())
    assert torch.equal(logits(other), logits(head))
    assert 'conv_seg.offsets' not in dict(other.named_parameters())
    classifier.shift(np.zeros(CLASSES))
    assert 'conv_seg.offsets' not in head.state_dict()
    other.load_state_dict(head.state_dict())  # strict: nothing is left of the offsets
    assert torch.equal(logits(other), before)


@pytest.mark.parametrize('threshold', [0.3, 0.7])
def test_one_channel_is_shifted_against_its_threshold(threshold: float) -> None:
    head = build(head_cfg('FCN', dict(type='CrossEntropyLoss', use_sigmoid=True), num_classes=2, out_channels=1,
                          threshold=threshold))
    head.conv_seg.weight.data *= 50
    segmentor = EncoderDecoder.__new__(EncoderDecoder)
    nn.Module.__init__(segmentor)
    segmentor.decode_head, segmentor.align_corners = head, False

    def prediction() -> Any:
        return segmentor.postprocess_result(logits(head))[0]

    classifier = Classifier(segmentor)
    assert classifier.num_classes == 2
    plain = prediction()
    scores = classifier.scores(plain.seg_logits.data)
    assert torch.equal(scores.argmax(0, keepdim=True), plain.pred_sem_seg.data.long())
    assert 0 < plain.pred_sem_seg.data.float().mean() < 1
    classifier.check(lambda: classifier.scores(prediction().seg_logits.data))
    offsets = np.array([0.4, -0.5])
    classifier.shift(offsets)
    expected = (scores + torch.from_numpy(offsets).view(2, 1, 1)).argmax(0, keepdim=True)
    assert torch.equal(prediction().pred_sem_seg.data.long(), expected)
    assert not torch.equal(expected, plain.pred_sem_seg.data.long())


def test_segmenter_is_refused() -> None:
    cfg = {k: v for k, v in head_cfg('FCN', CE).items() if k not in ('num_convs', 'concat_input', 'norm_cfg')}
    cfg.update(type='SegmenterMaskTransformerHead', num_layers=1, num_heads=1, embed_dims=8)
    with pytest.raises(ValueError, match='whose last decode head ends with conv_seg, got Segmenter, where a norm follows'):
        Classifier(Segmentor(build(cfg)))


@pytest.mark.parametrize('name', NO_BIAS)
def test_heads_that_are_refused_are_classes_of_mmseg(name: str) -> None:
    """Some need mmdet, or compiled operators: the name decides, also for what derives from them."""
    folder = Path(decode_heads.__file__).parent
    assert any(f'class {name}(' in path.read_text() for path in folder.glob('*.py'))
    kind = type(f'My{name}', (type(name, (nn.Module, ), {}), ), {})
    with pytest.raises(ValueError, match=f'got {NO_BIAS[name]}$'):
        Classifier(Segmentor(kind()))


def test_other_last_layers_are_refused() -> None:
    with pytest.raises(ValueError, match='got a model without a decode head'):
        Classifier(nn.Linear(2, 2))
    head = build(head_cfg('FCN', CE))
    head.conv_seg = nn.Conv2d(8, CLASSES, 1, bias=False)
    with pytest.raises(ValueError, match='got FCNHead, whose conv_seg has no bias'):
        Classifier(Segmentor(head))
    head.conv_seg = nn.Sequential(nn.Conv2d(8, CLASSES, 1))
    with pytest.raises(ValueError, match='got FCNHead with a Sequential in its place'):
        Classifier(Segmentor(head))
    head = build(head_cfg('FCN', dict(type='CrossEntropyLoss', use_sigmoid=True), num_classes=2, out_channels=1, threshold=1.0))
    with pytest.raises(ValueError, match=r'got FCNHead with the threshold 1\.0, which no score reaches'):
        Classifier(Segmentor(head))


def test_a_norm_after_the_classifier_is_found_by_trying() -> None:
    head = build(head_cfg('FCN', CE))
    classifier = Classifier(Segmentor(head))
    with pytest.raises(ValueError, match='got FCNHead, whose scores do not move with the bias of conv_seg'):
        classifier.check(lambda: nn.functional.layer_norm(logits(head)[0].movedim(0, -1), (CLASSES, )).movedim(-1, 0))


@pytest.mark.parametrize(('loss', 'words'), [
    (dict(type='mmimb.LogitAdjustmentLoss', stats=STATS), 'LogitAdjustmentLoss(tau=1) has corrected for'),
    (dict(type='mmimb.CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0, 4.0]), 'the class_weight of CrossEntropyLoss has'),
])
def test_a_loss_that_corrects_already_is_told(loss: dict, words: str) -> None:
    (notice, ) = correction_notices([build(loss)])
    assert notice.startswith(words)
    assert correction_notices([build(CE)]) == []


WEIGHT = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(('loss', 'weights'), [
    (dict(type='mmimb.CrossEntropyLoss', class_weight=WEIGHT), WEIGHT),
    (dict(type='CrossEntropyLoss', class_weight=WEIGHT), WEIGHT),
    (CE, None),
    (dict(type='CrossEntropyLoss', use_sigmoid=True, class_weight=WEIGHT), None),
    (dict(type='mmimb.FocalLoss', class_weight=WEIGHT), None),
    (dict(type='mmimb.CrossEntropyLoss', class_weight=dict(type='mmimb.DifficultyBalanced', num_classes=4)), [1, 1, 1, 1]),
    (dict(type='mmimb.CrossEntropyLoss', class_weight=dict(type='mmimb.Deferred', weight=WEIGHT, begin=0.8)), None),
])
def test_weights_that_can_be_taken_back(loss: dict, weights: list[float] | None) -> None:
    built = build(loss)
    assert class_weights_of([built]) == weights
    assert class_weights_of([built, build(CE)]) is None


def test_weights_of_a_report_are_read_when_they_are_needed(tmp_path) -> None:
    path = tmp_path / 'stats.json'
    weight = dict(type='mmimb.InverseFrequency', stats=str(path), power=0.5)
    loss = build(dict(type='mmimb.CrossEntropyLoss', class_weight=weight)).eval()
    with pytest.raises(FileNotFoundError, match='`stats`'):
        class_weights_of([loss])
    path.write_text(json.dumps(dict(pixels=[100, 25, 4, 1])))
    found = np.array(class_weights_of([loss]))
    np.testing.assert_allclose(found / found[0], [1, 2, 5, 10])
